// How each actor is started, and what it is given. Actors know each other by handle and message
// only: none includes another's class.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/compat.hpp"
#include "actors/driver_system.hpp"
#include "actors/messages.hpp"
#include "actors/restart_budget.hpp"

namespace ndc::actors {

class PullSlots;

struct SupervisionLimits {
  int max_restarts = 3;
  std::chrono::seconds window{60};
  RestartBudget budget() const { return RestartBudget{max_restarts, window}; }
};

// All that a task actor needs to begin, or to go on where a crashed predecessor was.
struct TaskSeed {
  TaskIdentity identity;
  std::shared_ptr<const TaskSpec> spec;  // null when recovered: the handle has what is needed
  std::optional<TaskHandle> handle;      // set once the container runs
  std::vector<WatchUsage> usage;         // the streams that Nomad has opened
  RuntimePtr runtime;
  std::shared_ptr<const PluginConfig> config;
  std::shared_ptr<Metrics> metrics;
  NodeCompute node;
  Helpers helpers;
  SupervisionLimits limits;
  caf::actor driver;
};

// What InspectTask tells of a task.
TaskStatus status_of(const TaskSeed& seed, const std::optional<TaskExit>& exit, TaskState state);

caf::actor spawn_driver(caf::actor_system& system, DriverOptions options);
caf::actor spawn_task(act::Self parent, TaskSeed seed);
caf::actor spawn_log_forwarder(act::Self parent, RuntimePtr runtime, runtime::LogPaths paths,
                               bool tty, caf::actor task, TaskIdentity identity);
// `metrics` is null where nobody serves them: then only Nomad's streams are a reason to sample.
caf::actor spawn_stats(act::Self parent, NodeCompute node, caf::actor sampler,
                       std::shared_ptr<Metrics> metrics, TaskIdentity task);
caf::actor spawn_stats_sampler(act::Self parent);
caf::actor spawn_images(act::Self parent, caf::actor events, std::shared_ptr<Metrics> metrics,
                        std::shared_ptr<PullSlots> slots);
caf::actor spawn_fingerprint(act::Self parent, std::chrono::nanoseconds interval);
caf::actor spawn_events(act::Self parent);
caf::actor spawn_reaper(act::Self parent, caf::actor driver);

}  // namespace ndc::actors
