// What Nomad's client sends, from the bytes of a message to the model.

#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/common.h>
#if GOOGLE_PROTOBUF_VERSION < 4022000
#include <google/protobuf/stubs/logging.h>
#endif

#include <cmath>
#include <string>

#include "model/signals.hpp"
#include "model/task_config.hpp"
#include "model/task_handle.hpp"
#include "rpc/task_codec.hpp"
#include "rpc/task_spec_codec.hpp"
#include "rpc/wire_time.hpp"
#include "targets.hpp"

namespace ndc::rpc {
namespace {

bool read(google::protobuf::MessageLite& message, std::string_view input) {
#if GOOGLE_PROTOBUF_VERSION < 4022000
  // A line for each text that is no UTF-8 would fill the disk.
  [[maybe_unused]] static const auto before = google::protobuf::SetLogHandler(nullptr);
#endif
  return message.ParseFromArray(input.data(), static_cast<int>(input.size()));
}

void wire_task(std::string_view input) {
  wire::TaskConfig message;
  if (!read(message, input)) return;
  const auto spec = to_task_spec(message);
  if (!spec) return fuzz::require(!spec.error().message().empty(), "an error has words");
  fuzz::require(spec->id == message.id() && !spec->id.empty(), "a task has its id");
  const double share = spec->resources.node_share;
  fuzz::require(std::isfinite(share) && share >= 0, "a share is one");
  for (const PortMapping& port : spec->ports) {
    fuzz::require(port.task_port > 0 || port.task_port == port.host_port, "a port leads to one");
  }
  decode_task_config(spec->config);
  const wire::StartTaskResponse response = to_wire(actors::TaskStarted{"state", {}}, message);
  const auto& kept = response.handle().config();
  fuzz::require(
      kept.env().empty() && kept.device_env().empty() && kept.msgpack_driver_config().empty(),
      "what may be secret is not kept");
  fuzz::require(kept.id() == message.id(), "a handle names its task");
}

// Durations and signals as the driver gets them.
void check_duration(const google::protobuf::Duration& duration) {
  fuzz::require(to_nanoseconds(duration).count() >= 0, "a duration is not negative");
}

void check_signal(const std::string& name) {
  const auto number = signal_number(name);
  if (!number) return fuzz::require(!number.error().message().empty(), "an error has words");
  fuzz::require(*number >= 1 && *number <= kLastSignal, "a signal is one");
}

// The first byte says which call it is.
void wire_calls(std::string_view input) {
  if (input.empty()) return;
  const char call = input.front();
  input.remove_prefix(1);
  if (call == 'r') {
    wire::RecoverTaskRequest request;
    if (!read(request, input)) return;
    const auto handle = read_handle(request);
    if (!handle) return fuzz::require(!handle.error().message().empty(), "an error has words");
    fuzz::require(!handle->task_id.empty() && !handle->driver_state.empty(), "a handle is whole");
    decode_handle(handle->driver_state);
  } else if (call == 'e') {
    wire::ExecTaskRequest request;
    if (!read(request, input)) return;
    const ExecRequest exec = to_exec_request(request);
    fuzz::require(exec.command.size() == static_cast<std::size_t>(request.command_size()),
                  "a command keeps its words");
    fuzz::require(!exec.timeout || exec.timeout->count() > 0, "a time-out lets time pass");
  } else if (call == 's') {
    wire::ExecTaskStreamingRequest request;
    if (!read(request, input)) return;
    to_exec_request(request.setup());
    to_terminal_size(request.tty_size());
  } else if (call == 'p') {
    wire::StopTaskRequest request;
    if (!read(request, input)) return;
    check_duration(request.timeout());
    check_signal(request.signal());
  } else if (call == 'k') {
    wire::SignalTaskRequest request;
    if (!read(request, input)) return;
    check_signal(request.signal());
  } else if (call == 'u') {
    wire::TaskStatsRequest request;
    if (!read(request, input)) return;
    check_duration(request.collection_interval());
  } else if (call == 'c') {
    hashicorp::nomad::plugins::base::proto::SetConfigRequest request;
    if (!read(request, input)) return;
    const auto node = to_node_compute(request);
    fuzz::require(!node || (std::isfinite(node->total_mhz) && node->total_mhz >= 0),
                  "a node's compute is a number");
  }
}

}  // namespace
}  // namespace ndc::rpc

namespace ndc::fuzz {

std::vector<Target> wire_targets() {
  return {{"wire_task", rpc::wire_task}, {"wire_calls", rpc::wire_calls}};
}

}  // namespace ndc::fuzz
