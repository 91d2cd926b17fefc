#include "runtime/podman_argv.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string_view>

#include "model/capabilities.hpp"
#include "model/container_name.hpp"

namespace ndc::runtime {
namespace {

using Kind = NetworkMode::Kind;

constexpr std::size_t kMaxLine = 60000;  // podman's env file reader stops at 64 KiB a line
constexpr std::size_t kMaxEntry = 128 * 1024 - 1;  // the kernel's limit for one string of a process
constexpr std::int64_t kMaxShares = 262144;
// Where the agent's socket is in the container, as with Apple's container and Docker on macOS.
constexpr const char* kSshAgentPath = "/run/host-services/ssh-auth.sock";

bool starts_with_any(std::string_view text, const std::vector<std::string_view>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// Variables that podman, its helpers or the loader read themselves.
bool changes_podman(std::string_view name) {
  static const std::vector<std::string_view> names{"PATH", "HOME", "TMPDIR", "USER", "SHELL"};
  static const std::vector<std::string_view> prefixes{
      "LD_",      "GO",      "XDG_",    "CONTAINER", "REGISTRY_", "STORAGE_", "DBUS_",
      "NOTIFY_",  "LISTEN_", "PODMAN_", "SSL_CERT_", "_",         "LC_",      "TMP",
      "BUILDAH_", "DOCKER_", "LIBPOD_", "NETAVARK_", "GLIBC_",    "MALLOC_",  "HTTP"};
  return std::find(names.begin(), names.end(), name) != names.end() ||
         starts_with_any(name, prefixes) || name.ends_with("_PROXY") || name.ends_with("_proxy");
}

bool is_line(std::string_view name, std::string_view value) {
  return value.find('\n') == std::string_view::npos && !value.ends_with('\r') &&
         name.size() + value.size() + 1 <= kMaxLine;
}

bool is_variable_name(std::string_view name) {
  if (name.empty() || name.front() == '#' || name.front() == ' ' || name.back() == '*') {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7F && c != '=';
  });
}

Error refused_variable(const std::string& name, std::string cause, std::string hint = {}) {
  return {ErrorCode::kInvalidConfig, "pass environment variable", name, std::move(cause),
          std::move(hint)};
}

std::string json_list(const std::vector<std::string>& words) {
  std::string out = "[";
  for (const std::string& word : words) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : valid_utf8(word)) {
      if (c == '"' || c == '\\') {
        out += '\\';
        out += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
        out += escape;
      } else {
        out += c;
      }
    }
    out += '"';
  }
  return out + "]";
}

// One field of the comma-separated value of --mount.
std::string csv_field(const std::string& key, const std::string& value) {
  std::string out = "\"" + key + "=";
  for (const char c : value) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

// --volume reads everything but ':' in paths, --mount everything but knows other option names.
std::string mount_option(const ContainerMount& mount) {
  if (mount.source.find(':') == std::string::npos && mount.target.find(':') == std::string::npos) {
    std::string out = "--volume=" + mount.source + ":" + mount.target;
    for (std::size_t i = 0; i < mount.options.size(); ++i) {
      out += (i == 0 ? ":" : ",") + mount.options[i];
    }
    return out;
  }
  std::string out = "--mount=type=bind," + csv_field("source", mount.source) + "," +
                    csv_field("destination", mount.target);
  for (const std::string& option : mount.options) {
    if (option == "ro")
      out += ",ro=true";
    else if (option == "rw")
      out += ",ro=false";
    else if (option == "z")
      out += ",relabel=shared";
    else if (option == "Z")
      out += ",relabel=private";
    else if (option.ends_with("private") || option.ends_with("shared") || option.ends_with("slave"))
      out += ",bind-propagation=" + option;
    else
      out += "," + option;
  }
  return out;
}

// Nomad's dynamic workload users ("nomad-80123") exist in no passwd file: the number is uid and
// gid.
std::string user_of(const TaskSpec& spec, const TaskConfig& config) {
  const std::string user = config.user.value_or(spec.user);
  constexpr std::string_view prefix = "nomad-";
  if (!user.starts_with(prefix) || user.size() == prefix.size()) return user;
  const std::string number = user.substr(prefix.size());
  const bool digits =
      std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? number + ":" + number : user;
}

void add_network(const PodmanRequest& request, std::vector<std::string>& options) {
  const TaskSpec& spec = *request.spec;
  const TaskConfig& config = *request.config;
  const auto& mode = config.network_mode;
  const bool group = mode.kind == Kind::kDefault && spec.group_network.has_value();
  if (group) options.push_back("--network=ns:" + spec.group_network->namespace_path);
  if (mode.kind == Kind::kHost) options.emplace_back("--network=host");
  if (mode.kind == Kind::kNone) options.emplace_back("--network=none");
  if (mode.kind == Kind::kNamed) options.push_back("--network=" + mode.name);
  if (mode.kind == Kind::kTask) {
    options.push_back("--network=container:" + container_name(mode.name, spec.alloc_id));
  }

  std::string hostname = config.hostname.value_or("");
  if (hostname.empty() && group) hostname = spec.group_network->hostname;
  if (hostname.empty() && mode.kind != Kind::kHost) hostname = request.name;
  if (!hostname.empty()) options.push_back("--hostname=" + hostname);
  // In a namespace that it did not make podman knows no address to put into /etc/hosts.
  if (group && !request.group_address.empty()) {
    const std::string& shared = spec.group_network->hostname;
    options.push_back("--add-host=" + hostname + ":" + request.group_address);
    if (!shared.empty() && shared != hostname) {
      options.push_back("--add-host=" + shared + ":" + request.group_address);
    }
  }
  for (const std::string& port : published_ports(spec, config)) {
    options.push_back("--publish=" + port);
  }
  if (config.mac_address) options.push_back("--mac-address=" + *config.mac_address);
  for (const ExtraHost& host : config.extra_hosts) {
    options.push_back("--add-host=" + host.name + ":" + host.address);
  }
  // What belongs to the network's owner is not this task's to say.
  if (mode.kind == Kind::kNone || mode.kind == Kind::kTask) return;
  const DnsSettings group_dns = spec.dns.value_or(DnsSettings{});
  const auto add = [&options](const char* flag, const std::vector<std::string>& own,
                              const std::vector<std::string>& inherited) {
    for (const std::string& value : own.empty() ? inherited : own) options.push_back(flag + value);
  };
  add("--dns=", config.dns, group_dns.servers);
  add("--dns-search=", config.dns_search, group_dns.searches);
  add("--dns-option=", config.dns_options, group_dns.options);
}

void add_security(const TaskConfig& config, std::vector<std::string>& options) {
  if (config.privileged) options.emplace_back("--privileged");
  for (const std::string& cap : config.cap_add) options.push_back("--cap-add=" + cap);
  for (const std::string& cap : config.cap_drop) options.push_back("--cap-drop=" + cap);
  for (const std::string& option : config.security_opt) {
    options.push_back("--security-opt=" + option);
  }
  if (config.readonly_rootfs) options.emplace_back("--read-only");
  for (const auto& [name, limit] : config.ulimit) {
    options.push_back("--ulimit=" + name + "=" + std::to_string(limit.soft) + ":" +
                      std::to_string(limit.hard));
  }
  for (const auto& [name, value] : config.sysctl) {
    options.push_back("--sysctl=" + name + "=" + value);
  }
  if (config.pids_limit) options.push_back("--pids-limit=" + std::to_string(*config.pids_limit));
}

void add_devices(const PodmanRequest& request, std::vector<std::string>& options) {
  const auto add = [&options](const std::string& host, const std::string& task,
                              const std::string& permissions) {
    options.push_back("--device=" + host + ":" + (task.empty() ? host : task) +
                      (permissions.empty() ? "" : ":" + permissions));
  };
  for (const HostDevice& device : request.spec->devices) {
    add(device.host_path, device.task_path, device.permissions);
  }
  for (const Device& device : request.devices) {
    add(device.host_path, device.container_path, device.permissions);
  }
}

void add_resources(const TaskResources& resources, std::vector<std::string>& options) {
  const auto mib = [](std::int64_t value) { return std::to_string(value) + "m"; };
  if (resources.memory_max_mb == 0 && resources.memory_mb > 0) {
    options.push_back("--memory=" + mib(resources.memory_mb));
    options.push_back("--memory-swap=" + mib(resources.memory_mb));
  }
  if (resources.memory_max_mb > 0) {
    options.push_back("--memory=" + mib(resources.memory_max_mb));
    options.push_back("--memory-swap=" + mib(resources.memory_max_mb));
  }
  if (resources.memory_max_mb != 0 && resources.memory_mb > 0) {
    options.push_back("--memory-reservation=" + mib(resources.memory_mb));
  }
  if (resources.cpu_mhz > 0) {
    const auto shares = std::clamp<std::int64_t>(resources.cpu_mhz, 2, kMaxShares);
    options.push_back("--cpu-shares=" + std::to_string(shares));
  }
  if (!resources.cpuset.empty()) options.push_back("--cpuset-cpus=" + resources.cpuset);
}

}  // namespace

Expected<PodmanEnvironment> podman_environment(const TaskSpec& spec, const TaskConfig& config) {
  std::map<std::string, std::string> variables = spec.env;
  if (config.ssh_agent) variables["SSH_AUTH_SOCK"] = kSshAgentPath;
  for (const auto& [name, value] : config.env) variables[name] = value;

  PodmanEnvironment out;
  std::vector<Error> errors;
  for (const auto& [name, value] : variables) {
    if (!is_variable_name(name) || value.find('\0') != std::string::npos) {
      errors.push_back(refused_variable(name, "podman cannot pass on this name or value"));
    } else if (is_line(name, value)) {
      out.file += name + "=" + value + "\n";
    } else if (changes_podman(name)) {
      errors.push_back(refused_variable(
          name, "a value with line breaks, or beyond 60000 bytes, is not possible for this name",
          "use another name, or a template with a file"));
    } else if (name.size() + value.size() + 1 > kMaxEntry) {
      errors.push_back(
          refused_variable(name, "the value is longer than 128 KiB", "use a template with a file"));
    } else {
      out.names.push_back(name);
      out.own_entries.push_back(name + "=" + value);
    }
  }
  if (!errors.empty()) return fail(combine("prepare environment of task", spec.name, errors));
  return out;
}

std::vector<Error> podman_refusals(const TaskSpec& spec, const TaskConfig& config,
                                   std::optional<VersionNumber> version) {
  std::vector<Error> errors = unsupported_settings(config, Engine{Engine::Kind::kPodman, version});
  const auto refuse = [&errors](const char* key, std::string cause, std::string hint) {
    errors.push_back(
        {ErrorCode::kInvalidConfig, "use setting", key, std::move(cause), std::move(hint)});
  };
  const Kind kind = config.network_mode.kind;
  const char* mode = kind == Kind::kNone   ? "a task with network_mode = \"none\""
                     : kind == Kind::kTask ? "a task that shares another task's network"
                                           : nullptr;
  if (kind == Kind::kTask && config.network_mode.name == spec.name) {
    refuse("network_mode", "a task cannot share its own network", "name another task of the group");
  }
  const auto refuse_dns = [&](const char* key, const std::vector<std::string>& values) {
    if (mode == nullptr || values.empty()) return;
    refuse(key, std::string{mode} + " has no name servers of its own", "remove one of the two");
  };
  refuse_dns("dns", config.dns);
  refuse_dns("dns_search", config.dns_search);
  refuse_dns("dns_options", config.dns_options);
  if (kind == Kind::kTask && !config.extra_hosts.empty()) {
    refuse("extra_hosts", std::string{mode} + " has its hosts too",
           "list them in the task whose network it is");
  }
  if (mode != nullptr && !config.ports.empty()) {
    refuse("ports", std::string{mode} + " has no ports of its own",
           kind == Kind::kTask ? "list them in the task whose network it is"
                               : "remove one of the two");
  }
  if (config.mac_address && !has_own_address(spec, config)) {
    refuse("mac_address", "the task has no network interface of its own",
           "remove it, or use a network of podman's");
  }
  std::string known;
  for (const PortMapping& port : spec.ports) {
    known += (known.empty() ? "" : ", ") + quoted(port.label);
  }
  for (const std::string& label : config.ports) {
    const bool found = std::any_of(spec.ports.begin(), spec.ports.end(),
                                   [&](const PortMapping& port) { return port.label == label; });
    if (found) continue;
    errors.push_back({ErrorCode::kInvalidConfig, "publish port", label,
                      "the group's network block has no port of this label",
                      known.empty() ? "it has none at all: add port \"" + label + "\" {}"
                                    : "known labels: " + known});
  }
  if (auto environment = podman_environment(spec, config); !environment) {
    errors.push_back(std::move(environment.error()));
  }
  return errors;
}

bool has_own_address(const TaskSpec& spec, const TaskConfig& config) {
  const Kind kind = config.network_mode.kind;
  return kind == Kind::kNamed || (kind == Kind::kDefault && !spec.group_network);
}

std::vector<std::string> published_ports(const TaskSpec& spec, const TaskConfig& config) {
  std::vector<std::string> out;
  // On the host's stack and in the group's namespace the port is where it belongs already.
  if (!has_own_address(spec, config)) return out;
  for (const std::string& label : config.ports) {
    for (const PortMapping& port : spec.ports) {
      if (port.label != label) continue;
      std::string ip = port.host_ip;
      if (ip.find(':') != std::string::npos) ip = "[" + ip + "]";
      const std::string mapping = (ip.empty() ? "" : ip + ":") + std::to_string(port.host_port) +
                                  ":" + std::to_string(port.task_port);
      out.push_back(mapping + "/tcp");
      out.push_back(mapping + "/udp");
    }
  }
  return out;
}

Expected<PodmanArguments> podman_arguments(const PodmanRequest& request) {
  const TaskSpec& spec = *request.spec;
  const TaskConfig& config = *request.config;
  std::vector<Error> refusals = podman_refusals(spec, config);
  if (request.image.empty() || request.image.front() == '-') {
    refusals.push_back(
        {ErrorCode::kInvalidConfig, "use image", request.image, "it is no image reference", {}});
  }
  if (!refusals.empty()) return fail(combine("start task", spec.name, refusals));

  auto environment = podman_environment(spec, config);
  if (!environment) return fail(std::move(environment.error()));

  PodmanArguments out;
  auto& options = out.options;
  // Without --sdnotify=ignore a NOTIFY_SOCKET of the agent would reach the task, without
  // --http-proxy=false the agent's proxy settings.
  options = {"--pull=never", "--name=" + request.name, "--http-proxy=false", "--sdnotify=ignore"};
  options.push_back("--pidfile=" + request.pid_file);
  options.push_back("--conmon-pidfile=" + request.conmon_pid_file);
  if (config.tty) {
    options.emplace_back("--tty");
    options.emplace_back("--log-driver=k8s-file");
    options.push_back("--log-opt=path=" + request.log_file);
  } else {
    options.emplace_back("--log-driver=passthrough");
  }
  options.emplace_back("--env-file=/dev/fd/3");
  for (const std::string& name : environment->names) options.push_back("--env=" + name);
  for (const auto& [name, value] : request.labels) {
    options.push_back("--label=" + name + "=" + value);
  }
  if (config.entrypoint) {
    const bool cleared = config.entrypoint->empty() ||
                         (config.entrypoint->size() == 1 && config.entrypoint->front().empty());
    options.push_back("--entrypoint=" + (cleared ? "" : json_list(*config.entrypoint)));
  }
  if (config.working_dir) options.push_back("--workdir=" + *config.working_dir);
  if (const std::string user = user_of(spec, config); !user.empty()) {
    options.push_back("--user=" + user);
  }
  if (config.init) options.emplace_back("--init");
  if (config.interactive) options.emplace_back("--interactive");
  if (config.healthchecks_disabled) options.emplace_back("--no-healthcheck");
  if (config.platform) options.push_back("--platform=" + *config.platform);
  if (config.stop_signal) options.push_back("--stop-signal=" + *config.stop_signal);
  for (const Tmpfs& tmpfs : config.tmpfs) {
    options.push_back("--tmpfs=" + tmpfs.path + (tmpfs.options.empty() ? "" : ":" + tmpfs.options));
  }
  for (const ContainerMount& mount : request.mounts) options.push_back(mount_option(mount));
  if (!request.ssh_agent_socket.empty()) {
    options.push_back(mount_option({request.ssh_agent_socket, kSshAgentPath, {}}));
  }
  if (config.shm_size) options.push_back("--shm-size=" + std::to_string(*config.shm_size) + "b");
  add_devices(request, options);
  add_security(config, options);
  add_network(request, options);
  add_resources(spec.resources, options);

  out.tail.push_back(request.image);
  if (config.command) out.tail.push_back(*config.command);
  out.tail.insert(out.tail.end(), config.args.begin(), config.args.end());
  out.environment = std::move(*environment);
  return out;
}

}  // namespace ndc::runtime
