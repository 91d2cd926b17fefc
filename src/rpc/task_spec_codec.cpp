#include "rpc/task_spec_codec.hpp"

#include <cmath>

#include "rpc/msgpack_value.hpp"
#include "rpc/wire_time.hpp"

namespace ndc::rpc {
namespace {

template <class Repeated>
std::vector<std::string> strings(const Repeated& repeated) {
  return {repeated.begin(), repeated.end()};
}

TaskResources to_resources(const wire::Resources& from) {
  const auto& allocated = from.allocated_resources();
  const auto& limits = from.linux_resources();
  TaskResources out;
  out.cpu_mhz = allocated.cpu().cpu_shares();
  out.memory_mb = allocated.memory().memory_mb();
  out.memory_max_mb = allocated.memory().memory_max_mb();
  out.cpuset = limits.cpuset_cpus();
  // NaN and infinity where the client does not know its node's topology.
  const double share = limits.percentticks();
  out.node_share = std::isfinite(share) && share > 0 ? share : 0;
  out.parent_cgroup = limits.cpuset_cgroup();
  return out;
}

std::vector<PortMapping> to_ports(const wire::Resources& from) {
  std::vector<PortMapping> out;
  for (const auto& port : from.ports()) {
    out.push_back({.label = port.label(),
                   .host_port = port.value(),
                   .task_port = port.to() > 0 ? port.to() : port.value(),
                   .host_ip = port.host_ip()});
  }
  return out;
}

std::optional<GroupNetwork> to_group_network(const wire::TaskConfig& from) {
  const auto& spec = from.network_isolation_spec();
  if (!from.has_network_isolation_spec() || spec.path().empty() ||
      spec.mode() != wire::NetworkIsolationSpec::GROUP) {
    return std::nullopt;
  }
  return GroupNetwork{spec.path(), spec.hostsconfig().hostname(), spec.hostsconfig().address()};
}

}  // namespace

Expected<TaskSpec> to_task_spec(const wire::TaskConfig& config) {
  if (config.id().empty()) {
    return fail(
        {.code = ErrorCode::kInvalidConfig, .what = "read the task", .cause = "it has no id"});
  }
  auto settings = decode_msgpack(config.msgpack_driver_config());
  if (!settings) return fail(std::move(settings.error()).wrap("read task", config.id()));

  TaskSpec out;
  out.id = config.id();
  out.name = config.name();
  out.alloc_id = config.alloc_id();
  out.job_id = config.job_id();
  out.job_name = config.job_name();
  out.group_name = config.task_group_name();
  out.job_namespace = config.namespace_();
  out.node_id = config.node_id();
  out.node_name = config.node_name();
  out.user = config.user();
  out.env = {config.env().begin(), config.env().end()};
  out.resources = to_resources(config.resources());
  out.ports = to_ports(config.resources());
  for (const auto& mount : config.mounts()) {
    out.mounts.push_back({.host_path = mount.host_path(),
                          .task_path = mount.task_path(),
                          .read_only = mount.readonly(),
                          .propagation = mount.propagation_mode(),
                          .selinux_label = mount.selinux_label()});
  }
  for (const auto& device : config.devices()) {
    out.devices.push_back({.host_path = device.host_path(),
                           .task_path = device.task_path(),
                           .permissions = device.cgroup_permissions()});
  }
  out.group_network = to_group_network(config);
  if (config.has_dns()) {
    out.dns = DnsSettings{strings(config.dns().servers()), strings(config.dns().searches()),
                          strings(config.dns().options())};
  }
  out.alloc_dir = config.alloc_dir();
  out.stdout_path = config.stdout_path();
  out.stderr_path = config.stderr_path();
  out.config = std::move(*settings);
  return out;
}

ExecRequest to_exec_request(const wire::ExecTaskRequest& request) {
  ExecRequest out{strings(request.command()), false, std::nullopt};
  const auto timeout = to_nanoseconds(request.timeout());
  if (timeout.count() > 0) out.timeout = timeout;
  return out;
}

ExecRequest to_exec_request(const wire::ExecTaskStreamingRequest::Setup& setup) {
  return {strings(setup.command()), setup.tty(), std::nullopt};
}

TerminalSize to_terminal_size(const wire::ExecTaskStreamingRequest::TerminalSize& size) {
  return {.rows = size.height(), .columns = size.width()};
}

std::optional<NodeCompute> to_node_compute(
    const hashicorp::nomad::plugins::base::proto::SetConfigRequest& request) {
  if (!request.has_nomad_config()) return std::nullopt;
  const auto& topology = request.nomad_config().driver().topology();
  NodeCompute out;
  out.cores = static_cast<unsigned>(topology.cores_size());
  if (topology.override_total_compute() != 0) {
    out.total_mhz = static_cast<double>(topology.override_total_compute());
    return out;
  }
  for (const auto& core : topology.cores()) {
    const auto mhz = core.base_speed() != 0  ? core.base_speed()
                     : core.max_speed() != 0 ? core.max_speed()
                                             : core.guess_speed();
    out.total_mhz += static_cast<double>(mhz);
  }
  return out;
}

}  // namespace ndc::rpc
