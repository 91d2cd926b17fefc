// The actors that all tasks share, started by the driver actor, watched, and started again when
// one fails. A part of the driver actor, not an actor of its own.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/compat.hpp"
#include "actors/messages.hpp"
#include "actors/pull_slots.hpp"
#include "actors/restart_budget.hpp"
#include "actors/spawn.hpp"
#include "model/stream.hpp"

namespace ndc::actors {

class HelperActors {
 public:
  enum class Kind { kEvents, kImages, kSampler, kFingerprint, kReaper };
  // Runs after each restart, with the name of what failed: tasks learn of the successor then.
  using Restarted = std::function<void(Kind, const char* name)>;
  struct Options {
    std::chrono::nanoseconds fingerprint_interval;
    SupervisionLimits limits;
    std::shared_ptr<Metrics> metrics;
    Restarted restarted;
    Restarted paused;  // one that failed too often: the restart comes after the window
  };

  // `self` and `watch` are the driver actor's and outlive this.
  HelperActors(act::Self self, act::Watch& watch, Options options);
  ~HelperActors();  // stops them
  HelperActors(const HelperActors&) = delete;
  HelperActors& operator=(const HelperActors&) = delete;

  void start();
  void use(RuntimePtr runtime, std::shared_ptr<const PluginConfig> config);
  // After the pause of one that failed too often; nothing when the driver ends.
  void restart(const RestartHelper& m);
  // From now on one that ends is not started again.
  void let_end() { ending_ = true; }

  void watch_events(const WatchEvents& m);
  void watch_fingerprint(const WatchFingerprint& m);
  void emit(const TaskIdentity& task, std::string message);

  const Helpers& of_tasks() const { return helpers_; }
  const caf::actor& images() const { return helpers_.images; }
  const caf::actor& reaper() const { return reaper_; }

 private:
  void start(Kind kind);
  caf::actor supervised(const caf::actor& helper, Kind kind);
  void restart(Kind kind);

  act::Self self_;
  act::Watch& watch_;
  Options options_;
  RuntimePtr runtime_;  // null until the plugin is configured
  std::shared_ptr<const PluginConfig> config_;
  Helpers helpers_;
  std::shared_ptr<PullSlots> pull_slots_ = std::make_shared<PullSlots>();
  caf::actor fingerprint_;
  caf::actor reaper_;
  std::map<Kind, RestartBudget> budgets_;
  std::vector<Stream<TaskEvent>> event_streams_;
  std::vector<Stream<Fingerprint>> fingerprint_streams_;
  bool ending_ = false;
};

}  // namespace ndc::actors
