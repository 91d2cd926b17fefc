#include "model/capabilities.hpp"

namespace ndc {
namespace {

using Kind = NetworkMode::Kind;

constexpr EngineSupport kAlways{VersionNumber{0, 0, 0}, ""};
constexpr EngineSupport never(const char* instead) { return {std::nullopt, instead}; }
constexpr EngineSupport since(int major, int minor, const char* instead) {
  return {VersionNumber{major, minor, 0}, instead};
}

constexpr const char* kMacOnly = "it needs the apple runtime: constrain the job to such nodes";

const EngineSupport& support(const Capability& capability, const Engine& engine) {
  return engine.kind == Engine::Kind::kApple ? capability.apple : capability.podman;
}

bool supported(const Capability& capability, const Engine& engine) {
  const auto& from = support(capability, engine).since;
  return from && (!engine.version || *engine.version >= *from);
}

}  // namespace

const std::vector<Capability>& capabilities() {
  using C = TaskConfig;
  static const std::vector<Capability> table{
      {"alloc exec", "exec", [](const C&) { return false; }, kAlways, kAlways},
      {"user", "user", [](const C& c) { return c.user.has_value(); }, kAlways, kAlways},
      {"init", "init", [](const C& c) { return c.init; }, kAlways, kAlways},
      {"tty", "tty", [](const C& c) { return c.tty; }, kAlways, kAlways},
      {"tmpfs", "tmpfs", [](const C& c) { return !c.tmpfs.empty(); }, kAlways, kAlways},
      {"platform", "platform", [](const C& c) { return c.platform.has_value(); }, kAlways, kAlways},
      {"ulimit", "ulimit", [](const C& c) { return !c.ulimit.empty(); }, kAlways, kAlways},
      {"network_mode = \"<name>\"", "named_network",
       [](const C& c) { return c.network_mode.kind == Kind::kNamed; }, kAlways, kAlways},
      {"network_mode = \"host\"", "host_network", [](const C&) { return false; },
       never("the group's ports are published on the host instead"), kAlways},
      {"network { mode = \"bridge\" }", "group_network", [](const C&) { return false; },
       never("Nomad has no group networks on macOS: use network_mode"), kAlways},
      {"cap_add", "cap_add", [](const C& c) { return !c.cap_add.empty(); },
       since(0, 12, "0.11 gives every container all capabilities: remove it, or update"), kAlways},
      {"cap_drop", "cap_drop", [](const C& c) { return !c.cap_drop.empty(); },
       since(0, 12, "update Apple's container to 0.12 or newer"), kAlways},
      {"shm_size", "shm_size", [](const C& c) { return c.shm_size.has_value(); },
       since(1, 0, "update Apple's container to 1.0 or newer"), kAlways},
      {"ssh_agent", "ssh_agent", [](const C& c) { return c.ssh_agent; }, kAlways, kAlways},
      {"rosetta", "rosetta", [](const C& c) { return c.rosetta; }, kAlways,
       never("use platform = \"linux/amd64\" with emulation (qemu-user-static) on the node")},
      {"virtualization", "virtualization", [](const C& c) { return c.virtualization; }, kAlways,
       never("use devices { host_path = \"/dev/kvm\" }")},
      {"kernel", "kernel", [](const C& c) { return c.kernel.has_value(); }, kAlways,
       never(kMacOnly)},
      {"init_image", "init_image", [](const C& c) { return c.init_image.has_value(); }, kAlways,
       never(kMacOnly)},
      {"publish_sockets", "publish_sockets", [](const C& c) { return !c.publish_sockets.empty(); },
       kAlways, never("mount the socket's directory with volumes")},
      {"privileged", "privileged", [](const C& c) { return c.privileged; },
       never("every container is a machine of its own: use cap_add"), kAlways},
      {"devices", "devices", [](const C& c) { return !c.devices.empty(); },
       never("devices of the host cannot reach the virtual machine"), kAlways},
      {"security_opt", "security_opt", [](const C& c) { return !c.security_opt.empty(); },
       never("every container is a machine of its own: remove it"), kAlways},
      {"sysctl", "sysctl", [](const C& c) { return !c.sysctl.empty(); },
       never("set it in the task's entrypoint"), kAlways},
      {"pids_limit", "pids_limit", [](const C& c) { return c.pids_limit.has_value(); },
       never("use ulimit { nproc = \"…\" }"), kAlways},
      {"extra_hosts", "extra_hosts", [](const C& c) { return !c.extra_hosts.empty(); },
       never("mount a hosts file with a template"), kAlways},
      {"interactive", "interactive", [](const C& c) { return c.interactive; },
       never("use tty = true, or alloc exec"), kAlways},
      {"mac_address", "mac_address", [](const C& c) { return c.mac_address.has_value(); }, kAlways,
       kAlways},
      {"stop_signal", "stop_signal", [](const C& c) { return c.stop_signal.has_value(); }, kAlways,
       kAlways},
      {"load", "load", [](const C& c) { return c.load.has_value(); }, kAlways, kAlways},
  };
  return table;
}

std::vector<Error> unsupported_settings(const TaskConfig& task, const Engine& engine) {
  const bool apple = engine.kind == Engine::Kind::kApple;
  std::string name = apple ? "Apple's container" : "Podman";
  if (engine.version) name += " " + engine.version->text();
  std::vector<Error> errors;
  for (const Capability& capability : capabilities()) {
    if (!capability.used(task) || supported(capability, engine)) continue;
    errors.push_back({.code = ErrorCode::kUnsupported,
                      .what = "use setting",
                      .on = capability.key,
                      .cause = name + " cannot do this",
                      .hint = support(capability, engine).instead});
  }
  return errors;
}

Attributes feature_attributes(const Engine& engine) {
  Attributes out;
  for (const Capability& capability : capabilities()) {
    if (*capability.feature == '\0') continue;
    out[std::string{"driver.container.feature."} + capability.feature] =
        supported(capability, engine);
  }
  return out;
}

}  // namespace ndc
