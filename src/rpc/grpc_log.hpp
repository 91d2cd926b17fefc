// What gRPC itself logs.
#pragma once

namespace ndc::rpc {

// Sends gRPC's own messages to spdlog where this version of gRPC allows it. Before the first use
// of gRPC.
void route_grpc_log();

}  // namespace ndc::rpc
