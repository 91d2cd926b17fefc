// Short names for the wire's packages, and the sub-messages that no response may lack.
#pragma once

#include "nomad/drivers/driver.pb.h"

namespace ndc::rpc {

namespace wire = hashicorp::nomad::plugins::drivers::proto;

// The host dereferences these without a check: a missing one crashes the whole agent. Runs on every
// response that goes out; what was filled in already stays.
inline void fill_required(google::protobuf::Message&) {}
void fill_required(wire::TaskConfigSchemaResponse& response);
void fill_required(wire::CapabilitiesResponse& response);
void fill_required(wire::StartTaskResponse& response);
void fill_required(wire::WaitTaskResponse& response);
void fill_required(wire::InspectTaskResponse& response);
void fill_required(wire::TaskStatsResponse& response);
void fill_required(wire::DriverTaskEvent& response);
void fill_required(wire::ExecTaskResponse& response);
void fill_required(wire::ExecTaskStreamingResponse& response);

}  // namespace ndc::rpc
