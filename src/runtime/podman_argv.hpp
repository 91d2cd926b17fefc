// The command line that starts a task under Podman. Pure: looks at no file and starts nothing.
// Values of environment variables never become arguments: they are lines of an env file, or, where
// that format cannot hold them, part of podman's own environment.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/error.hpp"
#include "model/task_config.hpp"
#include "model/task_spec.hpp"
#include "model/version_number.hpp"

namespace ndc::runtime {

// A mount with its source resolved and allowed (mount_policy.hpp).
struct ContainerMount {
  std::string source;  // absolute host path, or the name of a volume
  std::string target;
  std::vector<std::string> options;  // of `podman run --volume`
  // The source was found to be within a policy, and may be a link to elsewhere a moment later.
  bool guarded = false;
  bool operator==(const ContainerMount&) const = default;
};

// The environment of the task in the three forms that podman reads.
struct PodmanEnvironment {
  std::string file;                      // "NAME=value\n" lines, for --env-file
  std::vector<std::string> names;        // for --env=NAME: values that are no line of a file
  std::vector<std::string> own_entries;  // "NAME=value" of those, for podman's own environment
};

struct PodmanRequest {
  const TaskSpec* spec = nullptr;
  const TaskConfig* config = nullptr;
  std::string image;
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<ContainerMount> mounts;
  std::vector<Device> devices;  // of the job, by their real paths
  std::string pid_file;
  std::string conmon_pid_file;
  std::string log_file;          // with a TTY
  std::string ssh_agent_socket;  // on the host; empty unless the job asks for it
  std::string group_address;     // in the group's namespace; empty where it has none
};

struct PodmanArguments {
  std::vector<std::string> options;  // of `run` and `create` alike
  std::vector<std::string> tail;     // image, command and its arguments
  PodmanEnvironment environment;
};

// The task's environment with the job's `env` on top. kInvalidConfig names each variable that
// cannot be passed on.
Expected<PodmanEnvironment> podman_environment(const TaskSpec& spec, const TaskConfig& config);

// All that this adapter refuses in the job, at once (kInvalidConfig, kUnsupported).
std::vector<Error> podman_refusals(const TaskSpec& spec, const TaskConfig& config,
                                   std::optional<VersionNumber> version = std::nullopt);

Expected<PodmanArguments> podman_arguments(const PodmanRequest& request);

// {"10.0.0.1:8080:80/tcp", ".../udp", ...} for `ports`; empty where nothing is to be published.
std::vector<std::string> published_ports(const TaskSpec& spec, const TaskConfig& config);

// Whether the task gets an address of its own, on a network that podman made.
bool has_own_address(const TaskSpec& spec, const TaskConfig& config);

}  // namespace ndc::runtime
