#include "runtime/apple_argv.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <string_view>

#include "model/byte_size.hpp"
#include "model/capabilities.hpp"
#include "runtime/apple_labels.hpp"
#include "runtime/apple_ports.hpp"
#include "runtime/apple_version.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

using Kind = NetworkMode::Kind;

constexpr std::size_t kMaxId = 63;
constexpr std::int64_t kMinMemoryMb = 200;
constexpr std::int64_t kMiB = 1 << 20;

Error refused(const char* key, std::string cause, std::string hint,
              ErrorCode code = ErrorCode::kInvalidConfig) {
  return {code, "use setting", key, std::move(cause), std::move(hint)};
}

bool is_host_name(std::string_view name) {
  return !name.empty() && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-';
         });
}

bool is_ulimit(std::string_view name) {
  static constexpr std::string_view kTypes[] = {
      "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue", "nice",
      "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  return std::find(std::begin(kTypes), std::end(kTypes), name) != std::end(kTypes);
}

// Every option goes through here: joined where there is a value, apart where it is empty, because
// "--opt=" swallows the next word.
void add(std::vector<std::string>& options, const std::string& option, const std::string& value) {
  if (value.empty()) {
    options.push_back(option);
    options.emplace_back();
  } else {
    options.push_back(option + "=" + value);
  }
}

bool cleared(const std::vector<std::string>& entrypoint) {
  return entrypoint.empty() || entrypoint.front().empty();
}

// The CLI drops what is no whole MiB, and with it a small size altogether.
std::string whole_mebibytes(std::int64_t bytes) {
  return std::to_string(bytes / kMiB + (bytes % kMiB == 0 ? 0 : 1)) + "M";
}

// The bytes of "size=64m"; nullopt for a share of the memory, which the CLI does not know.
std::optional<std::int64_t> tmpfs_size(std::string_view option) {
  if (!option.starts_with("size=")) return std::nullopt;
  const auto bytes = parse_byte_size(option.substr(5));
  return bytes ? std::optional{*bytes} : std::nullopt;
}

// "path", or a mount where it has options.
Expected<std::string> tmpfs_option(const Tmpfs& tmpfs, const VersionNumber& version) {
  if (tmpfs.options.empty()) return "--tmpfs=" + tmpfs.path;
  const auto refuse = [&](std::string cause, std::string hint) {
    return fail(Error{ErrorCode::kUnsupported, "mount tmpfs", tmpfs.path, std::move(cause),
                      std::move(hint)});
  };
  if (tmpfs.path.find_first_of(",=") != std::string::npos) {
    return refuse("with options " + apple_name(version) + " takes no path with ',' or '='",
                  "rename it");
  }
  std::string out = "--mount=type=tmpfs,destination=" + tmpfs.path;
  std::string_view rest = tmpfs.options;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view option = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    if (option.empty() || option == "rw") continue;
    if (option == "ro") {
      out += ",readonly";
    } else if (option.starts_with("mode=")) {
      out += "," + std::string{option};
    } else if (const auto size = tmpfs_size(option)) {
      out += ",size=" + whole_mebibytes(*size);
    } else {
      return refuse(apple_name(version) + " has no option " + quoted(option) + " for a tmpfs",
                    "use ro, mode and size, which is a number of bytes, as in size=64m");
    }
  }
  return out;
}

std::string peer_variable(const char* what, const std::string& task) {
  std::string out = std::string{"NOMAD_PEER_"} + what + "_";
  for (const char c : task) {
    const auto byte = static_cast<unsigned char>(c);
    out += std::isalnum(byte) != 0 ? static_cast<char>(std::toupper(byte)) : '_';
  }
  return out;
}

std::map<std::string, std::string> variables_of(const AppleRequest& request) {
  std::map<std::string, std::string> out = request.spec->env;
  if (request.config->ssh_agent) out["SSH_AUTH_SOCK"] = ssh_agent_path(request.version);
  if (request.peer && !request.peer->address.empty()) {
    const std::string& task = request.config->network_mode.name;
    out[peer_variable("IP", task)] = request.peer->address;
    if (!request.peer->host_name.empty()) {
      out[peer_variable("HOST", task)] = request.peer->host_name;
    }
  }
  for (const auto& [name, value] : request.config->env) out[name] = value;
  return out;
}

void add_network(const AppleRequest& request, AppleArguments& out) {
  const TaskConfig& config = *request.config;
  const std::string mac = config.mac_address ? ",mac=" + *config.mac_address : "";
  switch (config.network_mode.kind) {
    case Kind::kNone:
      out.options.emplace_back("--network=none");
      return;
    case Kind::kNamed:
      out.options.push_back("--network=" + config.network_mode.name + mac);
      break;
    case Kind::kTask: {
      const std::string& task = config.network_mode.name;
      if (!request.peer) {
        out.options.push_back("--network=" + request.private_network + mac);
        break;
      }
      bool first = true;
      for (const std::string& network : request.peer->networks) {
        out.options.push_back("--network=" + network + (first ? mac : ""));
        first = false;
      }
      out.notes.push_back(
          "Task " + quoted(task) +
          " is another machine: 127.0.0.1 is not shared with it, its address is in " +
          peer_variable("IP", task));
      const auto& networks = request.peer->networks;
      if (std::find(networks.begin(), networks.end(), "default") != networks.end()) {
        out.notes.push_back("Task " + quoted(task) +
                            " is on the network \"default\", which is not private to the "
                            "allocation: for that give it network_mode = \"task:" +
                            task + "\" too");
      }
      break;
    }
    case Kind::kHost:
      out.notes.emplace_back(
          "network_mode = \"host\": the machine has a network of its own; the group's ports are "
          "published on the host one to one");
      [[fallthrough]];
    case Kind::kDefault:
      if (!mac.empty()) out.options.push_back("--network=default" + mac);
      break;
  }
  const DnsSettings group = request.spec->dns.value_or(DnsSettings{});
  const auto all = [&out](const char* option, const std::vector<std::string>& own,
                          const std::vector<std::string>& inherited) {
    for (const std::string& value : own.empty() ? inherited : own) add(out.options, option, value);
  };
  all("--dns", config.dns, group.servers);
  all("--dns-search", config.dns_search, group.searches);
  all("--dns-option", config.dns_options, group.options);
}

void add_resources(const AppleRequest& request, AppleArguments& out) {
  const TaskResources& resources = request.spec->resources;
  out.options.push_back("--cpus=" + std::to_string(apple_cpus(resources, request.host_cpus)));
  std::int64_t memory = std::max(resources.memory_mb, resources.memory_max_mb);
  if (resources.memory_max_mb < 0) {
    out.notes.emplace_back(
        "memory_max = -1: the machine has the " + std::to_string(std::max(memory, kMinMemoryMb)) +
        " MiB of memory, one without a limit is not possible with Apple's container");
  }
  if (memory < kMinMemoryMb) {
    out.notes.push_back("Memory raised from " + std::to_string(memory) + " MiB to " +
                        std::to_string(kMinMemoryMb) + " MiB, the least for Apple's container");
    memory = kMinMemoryMb;
  }
  out.options.push_back("--memory=" + std::to_string(memory) + "M");
  const TaskConfig& config = *request.config;
  if (config.shm_size) {
    out.options.push_back("--shm-size=" + whole_mebibytes(*config.shm_size));
  }
  const auto limit = [](std::int64_t value) {
    return value < 0 ? std::string{"unlimited"} : std::to_string(value);
  };
  for (const auto& [name, value] : config.ulimit) {
    out.options.push_back("--ulimit=" + name + "=" + limit(value.soft) + ":" + limit(value.hard));
  }
}

void add_machine(const AppleRequest& request, AppleArguments& out) {
  const TaskConfig& config = *request.config;
  std::vector<std::string>& options = out.options;
  if (config.ssh_agent && ssh_agent_is_the_daemons(request.version)) {
    out.notes.push_back("ssh_agent: " + apple_name(request.version) +
                        " takes the agent of its service's environment, not of the Nomad client's");
  }
  options.push_back("--platform=" + apple_platform(config));
  if (config.rosetta) options.emplace_back("--rosetta");
  if (config.ssh_agent) options.emplace_back("--ssh");
  if (config.virtualization) options.emplace_back("--virtualization");
  if (request.kernel) add(options, "--kernel", *request.kernel);
  if (config.init_image) add(options, "--init-image", *config.init_image);
  for (const Volume& socket : request.sockets) {
    options.push_back("--publish-socket=" + socket.source + ":" + socket.target);
  }
}

void add_process(const AppleRequest& request, AppleArguments& out) {
  const TaskConfig& config = *request.config;
  if (config.working_dir) add(out.options, "--workdir", *config.working_dir);
  const std::string user = config.user.value_or(request.spec->user);
  if (!user.empty()) add(out.options, "--user", user);
  if (config.init) out.options.emplace_back("--init");
  if (config.tty) out.options.emplace_back("--tty");
  if (config.readonly_rootfs) out.options.emplace_back("--read-only");
  for (const std::string& cap : config.cap_add) out.options.push_back("--cap-add=" + cap);
  for (const std::string& cap : config.cap_drop) out.options.push_back("--cap-drop=" + cap);

  std::vector<std::string> words;
  if (config.command) words.push_back(*config.command);
  words.insert(words.end(), config.args.begin(), config.args.end());
  if (config.entrypoint) {
    // One word for the option; what belongs to it beyond that comes before the command.
    std::vector<std::string> first = *config.entrypoint;
    if (cleared(first)) {
      first.assign(1, words.front());
      words.erase(words.begin());
    }
    add(out.options, "--entrypoint", first.front());
    words.insert(words.begin(), first.begin() + 1, first.end());
  }
  out.tail = {"--", request.image};
  out.tail.insert(out.tail.end(), words.begin(), words.end());
}

void refuse_network(const TaskSpec& spec, const TaskConfig& config, const VersionNumber& version,
                    std::vector<Error>& errors) {
  const Kind kind = config.network_mode.kind;
  if (spec.group_network) {
    errors.push_back(refused("network { mode = \"bridge\" }",
                             "a virtual machine of " + apple_name(version) +
                                 " cannot join a network namespace of this host",
                             "remove the mode from the group's network block and use network_mode",
                             ErrorCode::kUnsupported));
  }
  if (kind == Kind::kNamed && config.network_mode.name.find_first_of(",=") != std::string::npos) {
    errors.push_back(refused("network_mode",
                             quoted(config.network_mode.name) + " is no name of a network",
                             "create one: container network create"));
  }
  if (kind != Kind::kNone) return;
  const char* mode = "a task with network_mode = \"none\" has ";
  if (!config.ports.empty()) {
    errors.push_back(refused("ports", mode + std::string{"no ports"}, "remove one of the two"));
  }
  if (!config.dns.empty() || !config.dns_search.empty() || !config.dns_options.empty()) {
    errors.push_back(
        refused("dns", mode + std::string{"no name servers"}, "remove one of the two"));
  }
  if (config.mac_address) {
    errors.push_back(refused("mac_address", mode + std::string{"no network interface"},
                             "remove one of the two"));
  }
}

void refuse_process(const TaskConfig& config, const VersionNumber& version,
                    std::vector<Error>& errors) {
  if (config.entrypoint && cleared(*config.entrypoint)) {
    const std::string first = config.command        ? *config.command
                              : config.args.empty() ? ""
                                                    : config.args.front();
    // An empty word for --entrypoint would bring the image's back.
    if (first.empty()) {
      errors.push_back(
          refused("entrypoint",
                  !config.args.empty()
                      ? "without the image's ENTRYPOINT the command is empty"
                      : apple_name(version) + " cannot run the image's CMD without its ENTRYPOINT",
                  "write the command too"));
    }
  }
  for (const auto& [name, limit] : config.ulimit) {
    if (!is_ulimit(name)) {
      errors.push_back(refused("ulimit", apple_name(version) + " knows no limit " + quoted(name),
                               "use for example nofile, nproc or memlock"));
    }
    const bool soft_above = limit.hard >= 0 && (limit.soft < 0 || limit.soft > limit.hard);
    if (soft_above) {
      errors.push_back(refused("ulimit", "the soft limit of " + quoted(name) + " is above the hard",
                               "write \"soft:hard\""));
    }
  }
  for (const Tmpfs& tmpfs : config.tmpfs) {
    if (auto option = tmpfs_option(tmpfs, version); !option)
      errors.push_back(std::move(option.error()));
  }
  for (const auto& [key, value] : config.labels) {
    if (key.empty() || key.find('=') != std::string::npos) {
      errors.push_back(refused("labels",
                               quoted(key) + " is no name that " + apple_name(version) + " takes",
                               "use a name without '='"));
    } else if (key == "com.apple.container.plugin") {
      errors.push_back(
          refused("labels", quoted(key) + " would hide the container from " + apple_name(version),
                  "use another name"));
    }
  }
}

}  // namespace

Expected<std::string> apple_container_id(const std::string& container_name,
                                         const TaskConfig& config) {
  if (!config.hostname) return container_name;
  if (!is_host_name(*config.hostname)) {
    return fail(refused("hostname",
                        quoted(*config.hostname) +
                            " is not possible: a machine's host name is one label of letters, "
                            "digits and '-'",
                        "write for example \"web-1\""));
  }
  std::string id = *config.hostname + "." + container_name;
  if (id.size() <= kMaxId) return id;
  return fail(refused("hostname",
                      "the container's id " + quoted(id) + " begins with it and has " +
                          std::to_string(id.size()) + " characters, " + std::to_string(kMaxId) +
                          " are possible",
                      "use a shorter host name or task name"));
}

bool is_apple_id(std::string_view id) {
  constexpr std::size_t kLongest = 64;
  return is_state_name(id) && id.size() <= kLongest && id.front() != '-' && id.front() != '_';
}

std::string apple_host_platform() {
  utsname host{};
  if (::uname(&host) != 0) return "linux/arm64";
  const std::string_view machine{host.machine};
  return machine == "x86_64" || machine == "amd64" ? "linux/amd64" : "linux/arm64";
}

std::string apple_platform(const TaskConfig& config) {
  if (config.platform) return *config.platform;
  return config.rosetta ? "linux/amd64" : apple_host_platform();
}

unsigned apple_cpus(const TaskResources& resources, unsigned host_cpus) {
  // "0-3,8": what `cores` reserved.
  unsigned cores = 0;
  std::string_view rest = resources.cpuset;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string part{rest.substr(0, comma)};
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    unsigned first = 0;
    unsigned last = 0;
    const int fields = std::sscanf(part.c_str(), "%u-%u", &first, &last);
    if (fields == 1) ++cores;
    if (fields == 2 && last >= first && last - first < 4096) cores += last - first + 1;
  }
  if (cores > 0) return cores;
  const double wanted = std::ceil(resources.node_share * host_cpus - 1e-9);
  if (!(wanted >= 1)) return 1;
  return static_cast<unsigned>(std::min<double>(wanted, std::max(1u, host_cpus)));
}

std::vector<Error> apple_refusals(const TaskSpec& spec, const TaskConfig& config,
                                  const VersionNumber& version) {
  std::vector<Error> errors = unsupported_settings(config, Engine{Engine::Kind::kApple, version});
  refuse_network(spec, config, version, errors);
  refuse_process(config, version, errors);
  if (!spec.devices.empty()) {
    std::string paths;
    for (const HostDevice& device : spec.devices) {
      paths += (paths.empty() ? "" : ", ") + quoted(device.host_path);
    }
    errors.push_back(refused("device",
                             "devices of the host (" + paths +
                                 ") cannot reach the virtual machine of " + apple_name(version),
                             "remove the device block", ErrorCode::kUnsupported));
  }
  if (config.rosetta && config.platform && !config.platform->starts_with("linux/amd64")) {
    errors.push_back(refused("rosetta", "it is for linux/amd64, not " + quoted(*config.platform),
                             "remove platform or rosetta"));
  }
  if (auto ports = apple_ports(spec, config, version);
      config.network_mode.kind != Kind::kNone && !ports) {
    errors.push_back(std::move(ports.error()));
  }
  AppleRequest request;
  request.spec = &spec;
  request.config = &config;
  request.version = version;
  if (auto environment = apple_environment(variables_of(request)); !environment) {
    errors.push_back(std::move(environment.error()));
  }
  return errors;
}

Expected<AppleArguments> apple_arguments(const AppleRequest& request) {
  const TaskSpec& spec = *request.spec;
  const TaskConfig& config = *request.config;
  std::vector<Error> refusals = apple_refusals(spec, config, request.version);
  if (request.image.empty() || request.image.front() == '-') {
    refusals.push_back(
        {ErrorCode::kInvalidConfig, "use image", request.image, "it is no image reference", {}});
  }
  if (config.network_mode.kind == Kind::kTask && !request.peer && request.private_network.empty()) {
    refusals.push_back(
        refused("network_mode", "the other task's network is not known", "start that task first"));
  }
  if (!refusals.empty()) return fail(combine("start task", spec.name, refusals));

  AppleArguments out;
  auto environment = apple_environment(variables_of(request));
  if (!environment) return fail(std::move(environment.error()));
  out.environment = std::move(*environment);
  auto& options = out.options;
  options.push_back("--name=" + request.id);
  add_machine(request, out);
  add_resources(request, out);
  if (!out.environment.file.empty()) options.push_back("--env-file=" + request.env_file);
  for (const std::string& name : out.environment.names) options.push_back("--env=" + name);
  for (const auto& [key, value] : request.labels) {
    options.push_back("--label=" + key + (value.empty() ? "" : "=" + encode_label(value)));
  }
  std::string volumes;  // that Podman would fill from the image
  for (const AppleMount& mount : request.mounts) {
    auto words = mount_words(mount, request.version);
    if (!words) return fail(std::move(words.error()));
    options.insert(options.end(), words->begin(), words->end());
    if (mount.kind != AppleMount::Kind::kVolume || mount.no_copy) continue;
    volumes += (volumes.empty() ? "" : ", ") + quoted(mount.source);
  }
  if (!volumes.empty()) {
    out.notes.push_back(volumes +
                        ": a new volume is empty: Apple's container copies nothing into it");
  }
  for (const Tmpfs& tmpfs : config.tmpfs) options.push_back(*tmpfs_option(tmpfs, request.version));
  add_network(request, out);
  if (config.network_mode.kind != Kind::kNone) {
    auto ports = apple_ports(spec, config, request.version);
    if (!ports) return fail(std::move(ports.error()));
    for (const std::string& port : *ports) options.push_back("--publish=" + port);
  }
  add_process(request, out);
  return out;
}

}  // namespace ndc::runtime
