#include "model/capabilities.hpp"

#include <cstdint>
#include <map>

namespace ndc {
namespace {

using Kind = NetworkMode::Kind;

constexpr EngineSupport kAlways{VersionNumber{0, 0, 0}, ""};
constexpr EngineSupport never(const char* instead) { return {std::nullopt, instead}; }
constexpr EngineSupport since(int major, int minor, const char* instead) {
  return {VersionNumber{major, minor, 0}, instead};
}

constexpr const char* kMacOnly = "it needs the apple runtime: constrain the job to such nodes";

using Text = std::optional<std::string>;

template <class Items, class Written>
Text listed(const Items& items, Written written) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "[" : ", ") + quoted(written(item));
  if (out.empty()) return std::nullopt;
  return out + "]";
}

Text text(bool value) { return value ? Text{"true"} : std::nullopt; }
Text text(const std::optional<std::string>& value) {
  return value ? Text{quoted(*value)} : std::nullopt;
}
Text text(const std::optional<std::int64_t>& value) {
  return value ? Text{std::to_string(*value)} : std::nullopt;
}
Text text(const std::vector<std::string>& value) {
  return listed(value, [](const std::string& item) { return item; });
}
Text text(const std::map<std::string, std::string>& value) {
  return listed(value, [](const auto& entry) { return entry.first + " = " + entry.second; });
}
Text text(const std::map<std::string, Ulimit>& value) {
  return listed(value, [](const auto& entry) { return entry.first; });
}
Text text(const std::vector<Tmpfs>& value) {
  return listed(value, [](const Tmpfs& tmpfs) { return tmpfs.path; });
}
Text text(const std::vector<Device>& value) {
  return listed(value, [](const Device& device) { return device.host_path; });
}
Text text(const std::vector<Volume>& value) {
  return listed(value, [](const Volume& volume) { return volume.source + ":" + volume.target; });
}
Text text(const std::vector<ExtraHost>& value) {
  return listed(value, [](const ExtraHost& host) { return host.name + ":" + host.address; });
}

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
      {"alloc exec", "exec", [](const C&) { return Text{}; }, kAlways, kAlways},
      {"user", "user", [](const C& c) { return text(c.user); }, kAlways, kAlways},
      {"init", "init", [](const C& c) { return text(c.init); }, kAlways, kAlways},
      {"tty", "tty", [](const C& c) { return text(c.tty); }, kAlways, kAlways},
      {"tmpfs", "tmpfs", [](const C& c) { return text(c.tmpfs); }, kAlways, kAlways},
      {"platform", "platform", [](const C& c) { return text(c.platform); }, kAlways, kAlways},
      {"ulimit", "ulimit", [](const C& c) { return text(c.ulimit); }, kAlways, kAlways},
      {"network_mode = \"<name>\"", "named_network",
       [](const C& c) {
         return c.network_mode.kind == Kind::kNamed ? text(c.network_mode.name) : Text{};
       },
       kAlways, kAlways},
      {"network_mode = \"host\"", "host_network", [](const C&) { return Text{}; },
       never("the group's ports are published on the host instead"), kAlways},
      {"network { mode = \"bridge\" }", "group_network", [](const C&) { return Text{}; },
       never("Nomad has no group networks on macOS: use network_mode"), kAlways},
      {"cap_add", "cap_add", [](const C& c) { return text(c.cap_add); },
       since(0, 12, "0.11 gives every container all capabilities: remove it, or update"), kAlways},
      {"cap_drop", "cap_drop", [](const C& c) { return text(c.cap_drop); },
       since(0, 12, "update Apple's container to 0.12 or newer"), kAlways},
      {"shm_size", "shm_size", [](const C& c) { return text(c.shm_size); },
       since(1, 0, "update Apple's container to 1.0 or newer"), kAlways},
      {"ssh_agent", "ssh_agent", [](const C& c) { return text(c.ssh_agent); }, kAlways, kAlways},
      {"rosetta", "rosetta", [](const C& c) { return text(c.rosetta); }, kAlways,
       never("use platform = \"linux/amd64\" with emulation (qemu-user-static) on the node")},
      {"virtualization", "virtualization", [](const C& c) { return text(c.virtualization); },
       kAlways, never("use devices { host_path = \"/dev/kvm\" }")},
      {"kernel", "kernel", [](const C& c) { return text(c.kernel); }, kAlways, never(kMacOnly)},
      {"init_image", "init_image", [](const C& c) { return text(c.init_image); }, kAlways,
       never(kMacOnly)},
      {"publish_sockets", "publish_sockets", [](const C& c) { return text(c.publish_sockets); },
       kAlways, never("mount the socket's directory with volumes")},
      {"privileged", "privileged", [](const C& c) { return text(c.privileged); },
       never("every container is a machine of its own: use cap_add"), kAlways},
      {"devices", "devices", [](const C& c) { return text(c.devices); },
       never("devices of the host cannot reach the virtual machine"), kAlways},
      {"security_opt", "security_opt", [](const C& c) { return text(c.security_opt); },
       never("every container is a machine of its own: remove it"), kAlways},
      {"sysctl", "sysctl", [](const C& c) { return text(c.sysctl); },
       never("set it in the task's entrypoint"), kAlways},
      {"pids_limit", "pids_limit", [](const C& c) { return text(c.pids_limit); },
       never("use ulimit { nproc = \"…\" }"), kAlways},
      {"extra_hosts", "extra_hosts", [](const C& c) { return text(c.extra_hosts); },
       never("mount a hosts file with a template"), kAlways},
      {"interactive", "interactive", [](const C& c) { return text(c.interactive); }, kAlways,
       kAlways},
      {"mac_address", "mac_address", [](const C& c) { return text(c.mac_address); }, kAlways,
       kAlways},
      {"stop_signal", "stop_signal", [](const C& c) { return text(c.stop_signal); }, kAlways,
       kAlways},
      {"load", "load", [](const C& c) { return text(c.load); }, kAlways, kAlways},
  };
  return table;
}

std::string Engine::text() const {
  const std::string name = kind == Kind::kApple ? "Apple's container" : "Podman";
  return version ? name + " " + version->text() : name;
}

std::vector<Error> unsupported_settings(const TaskConfig& task, const Engine& engine) {
  std::vector<Error> errors;
  for (const Capability& capability : capabilities()) {
    const Text value = capability.value(task);
    if (!value || supported(capability, engine)) continue;
    errors.push_back({.code = ErrorCode::kUnsupported,
                      .what = "use setting",
                      .on = capability.key,
                      .cause = "it is " + *value + ", but " + engine.text() + " cannot do this",
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
