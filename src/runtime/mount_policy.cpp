#include "runtime/mount_policy.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

namespace ndc::runtime {
namespace {

Error refused(const Volume& volume, std::string cause, std::string hint = {}) {
  return {ErrorCode::kInvalidConfig, "mount volume", volume.source, std::move(cause),
          std::move(hint)};
}

std::string variable(const TaskSpec& spec, const char* name, const char* otherwise) {
  const auto found = spec.env.find(name);
  return found == spec.env.end() || !found->second.starts_with('/') ? otherwise : found->second;
}

std::string propagation_option(const std::string& propagation) {
  if (propagation == "host-to-task") return "rslave";
  if (propagation == "bidirectional") return "rshared";
  return "rprivate";
}

constexpr const char* kVirtualMachines = "/dev/kvm";  // makes them

bool is_below_any(const std::string& path, const std::vector<std::string>& roots) {
  return std::any_of(roots.begin(), roots.end(), [&](const std::string& root) {
    const auto real = real_path(root);
    return real && is_below(path, *real);
  });
}

std::string list_of(const std::vector<std::string>& paths) {
  std::string list;
  for (const std::string& path : paths) list += (list.empty() ? "" : ", ") + ndc::quoted(path);
  return list;
}

bool in_own_directories(const TaskSpec& spec, const std::string& path) {
  for (const std::string& own : {spec.task_dir(), spec.shared_dir()}) {
    const auto real = real_path(own);
    if (real && is_below(path, *real)) return true;
  }
  return false;
}

Expected<std::string> allowed_source(const TaskSpec& spec, const Volume& volume,
                                     const PluginConfig::Volumes& policy) {
  const bool absolute = volume.source.starts_with('/');
  if (!absolute) {
    const auto directory = real_path(spec.task_dir());
    if (!directory) return fail(refused(volume, "the task's directory does not exist"));
    const auto path = real_path(*directory + "/" + volume.source);
    if (!path) {
      return fail(refused(volume, "it does not exist in the task's directory",
                          "make it first, for example with a template or an artifact"));
    }
    // The allocation's shared directory is the task's too: "../alloc/data" is a common idiom.
    if (!is_below(*path, *directory) && !in_own_directories(spec, *path)) {
      return fail(refused(volume, "it leads out of the task's directory",
                          "use an absolute path if the operator allows it"));
    }
    return *path;
  }
  const auto path = real_path(volume.source);
  if (!path) {
    return fail(refused(volume, "no such file or directory on this node",
                        "make it, or use a named volume"));
  }
  if (in_own_directories(spec, *path)) return *path;
  if (!policy.enabled) {
    return fail(refused(volume, "the operator allows only the task's own directories",
                        "set volumes.enabled in the plugin's configuration"));
  }
  if (policy.allowed_paths.empty()) return *path;
  if (is_below_any(*path, policy.allowed_paths)) return *path;
  return fail(refused(volume, "it is not below one of the operator's allowed paths",
                      "volumes.allowed_paths has " + list_of(policy.allowed_paths)));
}

// Nomad's own directories lie in one that the task may have mounted: it could put a link to
// something of the host in the place of one, for its next attempt to mount.
std::vector<Error> own_directories(const TaskSpec& spec, const PluginConfig::Volumes& policy,
                                   std::vector<ContainerMount>& mounts) {
  struct Own {
    std::string parent;
    const char* name;
    std::string target;
  };
  std::vector<Error> errors;
  for (const Own& own :
       {Own{spec.alloc_dir, "alloc", variable(spec, "NOMAD_ALLOC_DIR", "/alloc")},
        Own{spec.task_dir(), "local", variable(spec, "NOMAD_TASK_DIR", "/local")},
        Own{spec.task_dir(), "secrets", variable(spec, "NOMAD_SECRETS_DIR", "/secrets")}}) {
    const std::string path = own.parent + "/" + own.name;
    const auto real = real_path(path);
    const auto parent = real_path(own.parent);
    if (real && parent && *real != *parent + "/" + own.name) {
      errors.push_back({ErrorCode::kInvalidConfig, "mount directory", path,
                        "it was replaced by a link to " + ndc::quoted(*real),
                        "remove the link; a task that mounts its whole directory can make one"});
    }
    // The real one: Nomad's data_dir may be reached by a link, as everything below /var is on a
    // Mac, and a path that is guarded must not be.
    mounts.push_back({real.value_or(path), own.target, {}, restricts(policy)});
  }
  return errors;
}

// Podman changes owner or label before it can be seen whether the path still is what was allowed.
std::optional<Error> changing_option(const Volume& volume, const PluginConfig::Volumes& policy) {
  if (!restricts(policy)) return std::nullopt;
  for (const std::string& option : volume.options) {
    if (option != "U" && option != "z" && option != "Z") continue;
    return refused(volume, "the option " + ndc::quoted(option) + " changes files of the host",
                   "remove it: it works only where the operator's volumes have no limits");
  }
  return std::nullopt;
}

bool is_of_node(const std::string& path, const struct stat& info) {
  struct stat devices {};
  return is_below(path, "/dev") && ::stat("/dev", &devices) == 0 && info.st_dev == devices.st_dev;
}

// Engines differ in what they make of two mounts at one place.
std::vector<Error> shared_targets(const std::vector<ContainerMount>& mounts,
                                  const std::vector<Tmpfs>& tmpfs) {
  std::vector<Error> errors;
  std::map<std::string, std::string> taken;  // by target
  const auto take = [&](const std::string& target, const std::string& what) {
    std::string place = std::filesystem::path{target}.lexically_normal();
    if (place.size() > 1 && place.ends_with('/')) place.pop_back();
    const auto [first, is_new] = taken.emplace(place, what);
    if (is_new) return;
    errors.push_back({ErrorCode::kInvalidConfig, "mount at", target,
                      first->second + " and " + what + " are both to be there",
                      "give each a path of its own"});
  };
  for (const ContainerMount& mount : mounts) take(mount.target, ndc::quoted(mount.source));
  for (const Tmpfs& one : tmpfs) take(one.path, "a tmpfs");
  return errors;
}

}  // namespace

std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> found{::realpath(path.c_str(), nullptr),
                                                          &std::free};
  if (!found) return std::nullopt;
  return std::string{found.get()};
}

bool restricts(const PluginConfig::Volumes& policy) {
  return !policy.enabled || !policy.allowed_paths.empty();
}

Expected<std::string> task_file(const TaskSpec& spec, const std::string& path) {
  auto file = allowed_source(spec, Volume{path.starts_with("./") ? path : "./" + path, "/", {}},
                             PluginConfig::Volumes{false, {}});
  if (!file) {
    file.error().what = "find file";
    file.error().on = path;
  }
  return file;
}

Expected<std::string> allowed_path(const TaskSpec& spec, const std::string& path,
                                   const PluginConfig::Volumes& policy) {
  if (path.starts_with('/') && !real_path(path)) {
    return fail(Error{ErrorCode::kInvalidConfig, "use path", path,
                      "no such file or directory on this node", "check the path"});
  }
  auto found = allowed_source(spec, Volume{path, "/", {}}, policy);
  if (!found) found.error().what = "use path";
  return found;
}

ResolvedDevices resolve_devices(const TaskConfig& config, const PluginConfig& plugin) {
  ResolvedDevices out;
  const bool keeps_some = restricts(plugin.volumes) || !plugin.allow_virtualization;
  for (const Device& device : config.devices) {
    const auto refuse = [&](std::string cause, std::string hint) {
      out.errors.push_back({ErrorCode::kInvalidConfig, "use device", device.host_path,
                            std::move(cause), std::move(hint)});
    };
    struct stat info {};
    const auto real = real_path(device.host_path);
    if (!real || ::stat(real->c_str(), &info) != 0) {
      refuse("no such device on this node", "constrain the job to nodes that have it");
    } else if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode) && !S_ISDIR(info.st_mode)) {
      refuse("it is no device", "mount files and sockets with volumes");
    } else if (!plugin.volumes.enabled) {
      refuse("the operator allows only the task's own directories",
             "set volumes.enabled in the plugin's configuration");
    } else if (restricts(plugin.volumes) && !is_below_any(*real, plugin.volumes.allowed_paths)) {
      refuse("it is not below one of the operator's allowed paths",
             "volumes.allowed_paths has " + list_of(plugin.volumes.allowed_paths));
    } else if (keeps_some && !is_of_node(*real, info)) {
      refuse("it is none of the node's own devices, which are in /dev",
             "use the device's path there");
    } else if (!plugin.allow_virtualization && is_below(kVirtualMachines, *real)) {
      refuse("virtual machines are not allowed on this node",
             "the operator can set allow_virtualization = true");
    } else {
      const std::string& inside = device.container_path;
      out.devices.push_back(
          {*real, inside.empty() ? device.host_path : inside, device.permissions});
    }
  }
  return out;
}

std::optional<Error> ssh_agent_refusal(const TaskConfig& config) {
  if (!config.ssh_agent) return std::nullopt;
  Error error{ErrorCode::kInvalidConfig, "use setting", "ssh_agent", {}, {}};
  const std::string path = ssh_agent_socket();
  struct stat info {};
  if (path.empty()) {
    error.cause = "the Nomad client's environment names no agent (SSH_AUTH_SOCK)";
    error.hint = "start the Nomad client with SSH_AUTH_SOCK set";
  } else if (::stat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) {
    error.cause = "there is no agent at " + ndc::quoted(path) + " any more";
    error.hint = "start one there, or the Nomad client with another SSH_AUTH_SOCK";
  } else {
    return std::nullopt;
  }
  return error;
}

std::string ssh_agent_socket() {
  const char* path = std::getenv("SSH_AUTH_SOCK");
  return path != nullptr && *path == '/' ? path : "";
}

bool is_below(const std::string& path, const std::string& directory) {
  if (directory == "/") return path.starts_with('/');
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

Expected<std::vector<ContainerMount>> resolve_mounts(const TaskSpec& spec, const TaskConfig& config,
                                                     const PluginConfig::Volumes& policy) {
  std::vector<ContainerMount> mounts;
  std::vector<Error> errors;
  if (!spec.alloc_dir.empty()) {
    errors = own_directories(spec, policy, mounts);
  }
  for (const HostMount& mount : spec.mounts) {
    ContainerMount out{mount.host_path, mount.task_path, {mount.read_only ? "ro" : "rw"}};
    out.options.push_back(propagation_option(mount.propagation));
    if (mount.selinux_label == "z" || mount.selinux_label == "Z") {
      out.options.push_back(mount.selinux_label);
    }
    mounts.push_back(std::move(out));
  }
  for (const Volume& volume : config.volumes) {
    if (volume.named()) {
      if (!policy.enabled) {
        errors.push_back(refused(volume, "the operator allows no named volumes",
                                 "set volumes.enabled in the plugin's configuration"));
      }
      mounts.push_back({volume.source, volume.target, volume.options});
      continue;
    }
    if (auto error = changing_option(volume, policy)) errors.push_back(std::move(*error));
    auto source = allowed_source(spec, volume, policy);
    if (!source) {
      errors.push_back(std::move(source.error()));
      continue;
    }
    mounts.push_back({std::move(*source), volume.target, volume.options, restricts(policy)});
  }
  for (Error& error : shared_targets(mounts, config.tmpfs)) errors.push_back(std::move(error));
  if (!errors.empty()) return fail(combine({}, {}, errors));
  return mounts;
}

}  // namespace ndc::runtime
