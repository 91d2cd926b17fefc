#include "rpc/wire.hpp"

#include "rpc/wire_time.hpp"

namespace ndc::rpc {
namespace {

void fill_time(google::protobuf::Timestamp& time, WallTime at) {
  if (time.seconds() == 0 && time.nanos() == 0) time = to_timestamp(at);
}

}  // namespace

void fill_required(wire::TaskConfigSchemaResponse& response) {
  response.mutable_spec()->mutable_object();
}

void fill_required(wire::CapabilitiesResponse& response) { response.mutable_capabilities(); }

void fill_required(wire::StartTaskResponse& response) {
  response.mutable_handle()->mutable_config();
}

void fill_required(wire::WaitTaskResponse& response) { response.mutable_result(); }

void fill_required(wire::InspectTaskResponse& response) {
  auto& task = *response.mutable_task();
  task.mutable_result();
  fill_time(*task.mutable_started_at(), {});
  fill_time(*task.mutable_completed_at(), {});
  response.mutable_driver();
}

void fill_required(wire::TaskStatsResponse& response) {
  auto& stats = *response.mutable_stats();
  fill_time(*stats.mutable_timestamp(), std::chrono::system_clock::now());
  auto& usage = *stats.mutable_agg_resource_usage();
  usage.mutable_cpu();
  usage.mutable_memory();
}

void fill_required(wire::DriverTaskEvent& response) {
  fill_time(*response.mutable_timestamp(), std::chrono::system_clock::now());
}

void fill_required(wire::ExecTaskResponse& response) { response.mutable_result(); }

void fill_required(wire::ExecTaskStreamingResponse& response) {
  if (response.exited()) response.mutable_result();
}

}  // namespace ndc::rpc
