// The job author's `config { … }` of a task, checked on its own: what can be said without knowing
// the runtime, the node or the rest of the job.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/registry_auth.hpp"
#include "model/settings.hpp"
#include "model/value.hpp"

namespace ndc {

// `source:target[:options]` of `volumes`, or a `mount` block of type bind or volume.
struct Volume {
  // Absolute, relative to the task directory, or the name of a named volume. "local" and "secrets"
  // are the task's directories, as job files for Nomad's docker driver mean them.
  std::string source;
  std::string target;  // absolute path in the container
  std::vector<std::string> options;
  // A name without a slash, but for the task's own directories: "local:/data" means that one.
  bool named() const {
    return source.find('/') == std::string::npos && source != "." && source != ".." &&
           source != "local" && source != "secrets";
  }
  bool operator==(const Volume&) const = default;
};

// `path[:options]` of `tmpfs`, or a `mount` block of type tmpfs.
struct Tmpfs {
  std::string path;
  std::string options;  // "size=64m,mode=1777", or empty
  bool operator==(const Tmpfs&) const = default;
};

// `name = "soft[:hard]"` of `ulimit`; -1 is no limit.
struct Ulimit {
  std::int64_t soft = 0;
  std::int64_t hard = 0;
  bool operator==(const Ulimit&) const = default;
};

struct Device {
  std::string host_path;
  std::string container_path;  // the same, where the job gives none
  std::string permissions;     // subset of "rwm"
  bool operator==(const Device&) const = default;
};

struct ExtraHost {
  std::string name;
  std::string address;
  bool operator==(const ExtraHost&) const = default;
};

struct NetworkMode {
  enum class Kind { kDefault, kHost, kNone, kTask, kNamed };
  Kind kind = Kind::kDefault;
  std::string name;  // of the task or the network
  bool operator==(const NetworkMode&) const = default;
};

enum class PullPolicy { kMissing, kAlways, kNever };

struct TaskConfig {
  std::string image;
  std::optional<std::string> command;
  std::vector<std::string> args;
  std::optional<std::vector<std::string>> entrypoint;
  std::optional<std::string> working_dir;
  std::map<std::string, std::string> env;
  std::vector<Volume> volumes;
  std::vector<Tmpfs> tmpfs;
  std::vector<std::string> ports;  // labels
  NetworkMode network_mode;
  std::optional<std::string> hostname;
  std::optional<std::string> user;
  std::map<std::string, std::string> labels;
  bool readonly_rootfs = false;
  bool init = false;
  bool tty = false;
  std::vector<std::string> dns;
  std::vector<std::string> dns_search;
  std::vector<std::string> dns_options;
  PullPolicy pull_policy = PullPolicy::kMissing;
  std::optional<std::chrono::nanoseconds> image_pull_timeout;
  std::optional<std::string> stop_signal;  // a name from signals.hpp

  std::optional<RegistryAuth> auth;
  std::optional<bool> auth_soft_fail;   // none: the plugin's
  std::optional<std::string> platform;  // "linux/arm64"
  std::optional<std::string> load;      // image archive, a path below the task's directory

  std::vector<std::string> cap_add;   // "CAP_NET_ADMIN", "ALL"
  std::vector<std::string> cap_drop;  // the same
  bool privileged = false;
  std::vector<std::string> security_opt;
  std::vector<Device> devices;
  std::map<std::string, Ulimit> ulimit;
  std::map<std::string, std::string> sysctl;
  std::optional<std::int64_t> pids_limit;  // above zero, or -1 for none
  std::optional<std::int64_t> shm_size;    // bytes
  std::vector<ExtraHost> extra_hosts;
  std::optional<std::string> mac_address;
  bool interactive = false;
  bool healthchecks_disabled = false;

  bool ssh_agent = false;
  bool rosetta = false;
  bool virtualization = false;
  std::optional<std::string> kernel;      // host path
  std::optional<std::string> init_image;  // OCI reference
  std::vector<Volume> publish_sockets;    // host path and path in the container of unix sockets

  bool operator==(const TaskConfig&) const = default;
};

const Schema& task_schema();

// All errors of the block (kInvalidConfig), each naming its key; what is wrong is as if it had not
// been given.
TaskConfig read_task_config(const Value& value, std::vector<Error>& errors);

// The same, for those who want all or nothing.
Expected<TaskConfig> decode_task_config(const Value& value);

}  // namespace ndc
