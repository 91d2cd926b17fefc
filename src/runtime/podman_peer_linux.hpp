// `network_mode = "task:<name>"`: the container whose network a task shares. Nomad starts the tasks
// of a group together, so it may not run yet.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "model/task_spec.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"

namespace ndc::runtime {

// Podman removes no container whose network others still share: then its removal is left to the
// last of them, which therefore remembers whose network it uses.
struct NetworkOwner {
  std::string name;
  std::string id;

  void save(ContainerRef& into) const;
  static std::optional<NetworkOwner> from(const ContainerRef& container);

  // Whether its task still exists for this driver.
  bool in_use(const std::string& state_dir) const;
};

// Waits, for at most `patience`, until the process of the task's container runs; then kTimeout,
// which names the task. Loop thread only.
void await_peer(EventLoop& loop, const std::string& state_dir, std::shared_ptr<const TaskSpec> spec,
                const std::string& task, std::chrono::nanoseconds patience,
                Done<NetworkOwner> done);

}  // namespace ndc::runtime
