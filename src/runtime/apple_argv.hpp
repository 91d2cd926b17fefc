// The command line that creates a task's container with Apple's CLI, for the version that it
// reports. Pure: looks at no file and starts nothing. Every option stands before `--`, every value
// is joined to its option, so that none can be taken for another.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/error.hpp"
#include "model/task_config.hpp"
#include "model/task_spec.hpp"
#include "model/version_number.hpp"
#include "runtime/apple_environment.hpp"
#include "runtime/apple_mounts.hpp"

namespace ndc::runtime {

// The task whose network is to be joined (`network_mode = "task:x"`).
struct ApplePeer {
  std::string address;
  std::string host_name;  // empty where the node has no domain for its containers
  std::vector<std::string> networks;
};

struct AppleRequest {
  const TaskSpec* spec = nullptr;
  const TaskConfig* config = nullptr;
  VersionNumber version;
  std::string image;
  std::string id;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<AppleMount> mounts;
  std::vector<Volume> sockets;        // publish_sockets with resolved host paths
  std::optional<std::string> kernel;  // the same of kernel
  std::optional<ApplePeer> peer;
  std::string private_network;  // the allocation's, for the task that others join
  std::string env_file;         // its path; the caller writes it
  unsigned host_cpus = 1;
};

struct AppleArguments {
  std::vector<std::string> options;  // of `create`
  std::vector<std::string> tail;     // "--", image, command and its arguments
  AppleEnvironment environment;
  std::vector<std::string> notes;  // what is otherwise than a user may expect
};

// The container's id: its name, or "<hostname>.<name>", as the host name is the id up to its first
// dot. kInvalidConfig where that is too long or no host name.
Expected<std::string> apple_container_id(const std::string& container_name,
                                         const TaskConfig& config);

// Whether a text may be one. Handles come from disk: an id is checked before it becomes an argument
// or part of a path.
bool is_apple_id(std::string_view id);

// "linux/arm64": the job's, Rosetta's, or this host's.
std::string apple_platform(const TaskConfig& config);
std::string apple_host_platform();

// Whole CPUs for the task's share of this node, at least one.
unsigned apple_cpus(const TaskResources& resources, unsigned host_cpus);

// All that this adapter refuses in the job without looking at the host, at once (kInvalidConfig,
// kUnsupported).
std::vector<Error> apple_refusals(const TaskSpec& spec, const TaskConfig& config,
                                  const VersionNumber& version);

Expected<AppleArguments> apple_arguments(const AppleRequest& request);

}  // namespace ndc::runtime
