// The job author's `config { … }` of a task, checked on its own: what can be said without knowing
// the runtime, the node or the rest of the job.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/settings.hpp"
#include "model/value.hpp"

namespace ndc {

// `source:target[:options]` of `volumes`.
struct Volume {
  std::string source;  // absolute, relative to the task directory, or the name of a named volume
  std::string target;  // absolute path in the container
  std::vector<std::string> options;
  bool named() const {
    return source.find('/') == std::string::npos && source != "." && source != "..";
  }
  bool operator==(const Volume&) const = default;
};

// `path[:options]` of `tmpfs`.
struct Tmpfs {
  std::string path;
  std::string options;  // "size=64m,mode=1777", or empty
  bool operator==(const Tmpfs&) const = default;
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

  bool operator==(const TaskConfig&) const = default;
};

const Schema& task_schema();

// All errors of the block at once (kInvalidConfig, kUnsupported), each naming its key.
Expected<TaskConfig> decode_task_config(const Value& value);

}  // namespace ndc
