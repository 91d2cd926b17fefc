// What must survive the plugin so that a task can be found again. Nomad keeps it in its client
// state as opaque bytes ("driver_state"): JSON with a version, without any secret.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "model/error.hpp"
#include "model/task_status.hpp"

namespace ndc {

// Where a container is. `state` belongs to the runtime that wrote it (process ids, paths).
struct ContainerRef {
  std::string name;
  std::string id;
  std::map<std::string, std::string> state;
  bool operator==(const ContainerRef&) const = default;
};

struct TaskHandle {
  // Version of this layout. A newer one is refused, an older one is upgraded while reading.
  static constexpr int kVersion = 2;  // 2: node_id

  std::string task_id;
  std::string task_name;
  std::string alloc_id;
  std::string node_id;  // empty in handles of version 1
  std::string runtime;  // "podman", "apple"
  ContainerRef container;
  std::string image;     // as the job wrote it
  std::string image_id;  // what it resolved to
  int stop_signal = 0;   // used when Nomad gives no signal; 1 to 64 in a handle that was read
  bool tty = false;
  std::string stdout_path;
  std::string stderr_path;
  WallTime started_at{};
  std::optional<DriverNetwork> network;
};

std::string encode_handle(const TaskHandle& handle);

// Errors (kInvalidConfig) for bytes that are no handle, truncated, of a future version, or without
// an id. Untrusted input: bounded to 1 MiB.
Expected<TaskHandle> decode_handle(std::string_view bytes);

}  // namespace ndc
