// Which host paths a task may mount, and where they really are. Reads the file system, changes
// nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "model/task_config.hpp"
#include "model/task_spec.hpp"
#include "runtime/podman_argv.hpp"

namespace ndc::runtime {

// Nomad's own directories, then the mounts Nomad asked for, then the job's volumes. Every error
// (kInvalidConfig) names the volume. Sources of volumes come back as real paths: what was checked
// is what is mounted.
Expected<std::vector<ContainerMount>> resolve_mounts(const TaskSpec& spec, const TaskConfig& config,
                                                     const PluginConfig::Volumes& policy);

// Whether there are paths of the host that tasks may not have. Where there are none, nothing is to
// be gained by leading an allowed one elsewhere.
bool restricts(const PluginConfig::Volumes& policy);

struct ResolvedDevices {
  std::vector<Device> devices;  // by their real paths
  std::vector<Error> errors;
};
// A device is a path of the host as well. Refused is what is not there, is no device (nor a
// directory of devices), or is not the tasks'. Where the operator keeps anything from tasks only
// the node's own devices count, those in /dev: who may make device files makes one of any disk.
ResolvedDevices resolve_devices(const TaskConfig& config, const PluginConfig& plugin);

// The real path of a file that the job names relative to its task's directory, such as an image
// archive. kInvalidConfig where it is not there or leads out of the task's own directories.
Expected<std::string> task_file(const TaskSpec& spec, const std::string& path);

// The real path of something of the host that the job names, within the policy for volumes.
// kInvalidConfig where it does not exist or is not allowed.
Expected<std::string> allowed_path(const TaskSpec& spec, const std::string& path,
                                   const PluginConfig::Volumes& policy);

// Why the job cannot have the node's agent, if it asks for it.
std::optional<Error> ssh_agent_refusal(const TaskConfig& config);

// The agent's socket that the Nomad client was started with (SSH_AUTH_SOCK); empty if none.
std::string ssh_agent_socket();

// Without links, `.` and `..`; nullopt where there is no such thing.
std::optional<std::string> real_path(const std::string& path);

// `path` is `directory` or below it. Both real and absolute.
bool is_below(const std::string& path, const std::string& directory);

}  // namespace ndc::runtime
