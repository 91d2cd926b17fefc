#include "rpc/task_codec.hpp"

#include <cmath>
#include <type_traits>
#include <variant>

#include "rpc/wire_time.hpp"

namespace ndc::rpc {
namespace {

wire::TaskState to_state(TaskState state) {
  switch (state) {
    case TaskState::kRunning:
      return wire::RUNNING;
    case TaskState::kExited:
      return wire::EXITED;
    default:
      return wire::UNKNOWN;
  }
}

wire::ExitResult to_exit_result(const TaskExit& exit) {
  wire::ExitResult out;
  if (const auto* exited = std::get_if<Exited>(&exit.status)) {
    out.set_exit_code(exited->code);
  } else if (const auto* signalled = std::get_if<Signalled>(&exit.status)) {
    out.set_signal(signalled->signal);
  } else {
    out.set_exit_code(-1);
  }
  out.set_oom_killed(exit.oom_killed);
  return out;
}

double finite(double value) { return std::isfinite(value) ? value : 0; }

}  // namespace

wire::CapabilitiesResponse to_wire(const actors::DriverCapabilities& capabilities) {
  wire::CapabilitiesResponse response;
  auto& out = *response.mutable_capabilities();
  out.set_send_signals(capabilities.send_signals);
  out.set_exec(capabilities.exec);
  out.set_fs_isolation(wire::DriverCapabilities::IMAGE);
  out.add_network_isolation_modes(wire::NetworkIsolationSpec::HOST);
  out.add_network_isolation_modes(wire::NetworkIsolationSpec::GROUP);
  out.add_network_isolation_modes(wire::NetworkIsolationSpec::TASK);
  out.set_mount_configs(wire::DriverCapabilities::ANY_MOUNTS);
  out.set_disable_log_collection(capabilities.disable_log_collection);
  return response;
}

wire::FingerprintResponse to_wire(const Fingerprint& fingerprint) {
  wire::FingerprintResponse out;
  out.set_health(fingerprint.health == Health::kHealthy ? wire::FingerprintResponse::HEALTHY
                 : fingerprint.health == Health::kUnhealthy
                     ? wire::FingerprintResponse::UNHEALTHY
                     : wire::FingerprintResponse::UNDETECTED);
  out.set_health_description(valid_utf8(fingerprint.description));
  for (const auto& [key, value] : fingerprint.attributes) {
    auto& attribute = (*out.mutable_attributes())[valid_utf8(key)];
    std::visit(
        [&](const auto& v) {
          using V = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<V, bool>) {
            attribute.set_bool_val(v);
          } else if constexpr (std::is_same_v<V, std::int64_t>) {
            attribute.set_int_val(v);
          } else {
            attribute.set_string_val(valid_utf8(v));
          }
        },
        value);
  }
  return out;
}

wire::NetworkOverride to_wire(const DriverNetwork& network) {
  wire::NetworkOverride out;
  out.set_addr(valid_utf8(network.address));
  out.set_auto_advertise(network.auto_advertise);
  for (const auto& [label, port] : network.ports)
    (*out.mutable_port_map())[valid_utf8(label)] = port;
  return out;
}

wire::StartTaskResponse to_wire(const actors::TaskStarted& started, const wire::TaskConfig& task) {
  wire::StartTaskResponse out;
  auto& handle = *out.mutable_handle();
  handle.set_version(kHandleVersion);
  // The client keeps it on disk for as long as the task lives, and needs no more of it than the id.
  // Whatever may be secret in a job is in these three.
  wire::TaskConfig& config = *handle.mutable_config();
  config = task;
  config.clear_env();
  config.clear_device_env();
  config.clear_msgpack_driver_config();
  handle.set_state(wire::RUNNING);
  handle.set_driver_state(started.driver_state);
  if (started.network) *out.mutable_network_override() = to_wire(*started.network);
  return out;
}

wire::WaitTaskResponse to_wire(const TaskExit& exit) {
  wire::WaitTaskResponse out;
  *out.mutable_result() = to_exit_result(exit);
  // A text makes the exit count as failed even where the code is 0.
  if (exit.oom_killed) {
    out.set_err("OOM Killed");
  } else if (std::holds_alternative<UnknownExit>(exit.status)) {
    out.set_err(valid_utf8(describe(exit)));
  }
  return out;
}

wire::InspectTaskResponse to_wire(const TaskStatus& status) {
  wire::InspectTaskResponse out;
  auto& task = *out.mutable_task();
  task.set_id(valid_utf8(status.id));
  task.set_name(valid_utf8(status.name));
  task.set_state(to_state(status.state));
  *task.mutable_started_at() = to_timestamp(status.started_at);
  *task.mutable_completed_at() = to_timestamp(status.exit ? status.exit->at : WallTime{});
  *task.mutable_result() = status.exit ? to_exit_result(*status.exit) : wire::ExitResult{};
  auto& attributes = *out.mutable_driver()->mutable_attributes();
  for (const auto& [key, value] : status.attributes)
    attributes[valid_utf8(key)] = valid_utf8(value);
  if (status.network) *out.mutable_network_override() = to_wire(*status.network);
  return out;
}

wire::TaskStatsResponse to_wire(const ResourceUsage& usage, const std::string& task_id) {
  using Cpu = wire::CPUUsage;
  using Memory = wire::MemoryUsage;
  wire::TaskStatsResponse out;
  auto& stats = *out.mutable_stats();
  stats.set_id(task_id);
  if (usage.sample.at != WallTime{}) *stats.mutable_timestamp() = to_timestamp(usage.sample.at);

  auto& cpu = *stats.mutable_agg_resource_usage()->mutable_cpu();
  const auto measured = [&](Cpu::Fields field, const auto& value, auto set) {
    if (!value) return;
    set(*value);
    cpu.add_measured_fields(field);
  };
  measured(Cpu::SYSTEM_MODE, usage.cpu_system_percent,
           [&](double v) { cpu.set_system_mode(finite(v)); });
  measured(Cpu::USER_MODE, usage.cpu_user_percent, [&](double v) { cpu.set_user_mode(finite(v)); });
  measured(Cpu::THROTTLED_PERIODS, usage.sample.throttled_periods,
           [&](std::uint64_t v) { cpu.set_throttled_periods(v); });
  measured(Cpu::THROTTLED_TIME, usage.sample.throttled_time, [&](std::chrono::nanoseconds v) {
    cpu.set_throttled_time(v.count() > 0 ? static_cast<std::uint64_t>(v.count()) : 0);
  });
  measured(Cpu::PERCENT, usage.cpu_percent, [&](double v) { cpu.set_percent(finite(v)); });
  // Not listed as measured: `nomad alloc status -stats` has no column for it and would misalign.
  cpu.set_total_ticks(finite(usage.cpu_ticks_mhz));

  auto& memory = *stats.mutable_agg_resource_usage()->mutable_memory();
  const auto bytes = [&](Memory::Fields field, const std::optional<std::uint64_t>& value,
                         void (Memory::*set)(std::uint64_t)) {
    if (!value) return;
    (memory.*set)(*value);
    memory.add_measured_fields(field);
  };
  bytes(Memory::RSS, usage.sample.memory_rss, &Memory::set_rss);
  bytes(Memory::CACHE, usage.sample.memory_cache, &Memory::set_cache);
  bytes(Memory::MAX_USAGE, usage.sample.memory_max, &Memory::set_max_usage);
  bytes(Memory::KERNEL_USAGE, usage.sample.memory_kernel, &Memory::set_kernel_usage);
  bytes(Memory::USAGE, usage.sample.memory_usage, &Memory::set_usage);
  bytes(Memory::SWAP, usage.sample.memory_swap, &Memory::set_swap);
  fill_required(out);
  return out;
}

wire::DriverTaskEvent to_wire(const TaskEvent& event) {
  wire::DriverTaskEvent out;
  out.set_task_id(valid_utf8(event.task_id));
  out.set_alloc_id(valid_utf8(event.alloc_id));
  out.set_task_name(valid_utf8(event.task_name));
  if (event.at != WallTime{}) *out.mutable_timestamp() = to_timestamp(event.at);
  out.set_message(valid_utf8(event.message));
  for (const auto& [key, value] : event.annotations) {
    (*out.mutable_annotations())[valid_utf8(key)] = valid_utf8(value);
  }
  fill_required(out);
  return out;
}

Expected<wire::ExitResult> to_exec_exit(const ExitStatus& status) {
  if (const auto* unknown = std::get_if<UnknownExit>(&status)) {
    return fail(
        {.code = ErrorCode::kRuntimeUnavailable,
         .what = "learn how the command ended",
         .cause = unknown->reason.empty() ? "its exit status is unknown" : unknown->reason});
  }
  return to_exit_result({.status = status});
}

Expected<RecoveredHandle> read_handle(const wire::RecoverTaskRequest& request) {
  const auto& handle = request.handle();
  // The client leaves the request's own id empty.
  RecoveredHandle out{handle.config().id().empty() ? request.task_id() : handle.config().id(),
                      handle.driver_state()};
  const auto refuse = [&](std::string cause) {
    return fail({.code = ErrorCode::kInvalidConfig,
                 .what = "recover task",
                 .on = out.task_id,
                 .cause = std::move(cause)});
  };
  if (handle.version() > kHandleVersion) {
    return refuse("its handle has version " + std::to_string(handle.version()) +
                  ", this plugin knows only up to " + std::to_string(kHandleVersion));
  }
  if (out.task_id.empty()) return refuse("its handle has no id");
  if (out.driver_state.empty()) return refuse("its handle has no driver state");
  return out;
}

}  // namespace ndc::rpc
