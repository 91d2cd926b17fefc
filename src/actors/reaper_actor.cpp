// Removes containers of this node that no task owns: what a crash at the wrong moment, or a
// recovery that failed, left behind. Knows a container by the driver's labels; which are owned, the
// driver actor says. Never looks before a whole period has passed, so that a restarted client has
// recovered its tasks by then.

#include <set>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/spawn.hpp"
#include "model/duration.hpp"
#include "model/labels.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

// How soon an engine that could not be asked is asked again for an abandoned task's container.
constexpr std::chrono::nanoseconds kLookAgain = std::chrono::seconds{10};

class ReaperActor {
 public:
  static constexpr const char* name = "reaper_actor";
  ReaperActor(act::Self self, caf::actor driver) : self_{self}, driver_{std::move(driver)} {}

  caf::behavior make_behavior() {
    return {
        [this](const UseRuntime& m) { use(m); },
        [this](const Tick& m) { tick(m.generation); },
        [this](const ContainersListed& m) { listed(m.result); },
        [this](const TaskAbandoned& m) {
          abandoned_.insert(m.task_id);
          look();
        },
        [this](const LookAgain&) {
          if (!abandoned_.empty()) look();
        },
        [this](const DanglingFound& m) { remove(m.containers); },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  const PluginConfig::DanglingContainers& settings() const {
    return config_->gc.dangling_containers;
  }

  void use(const UseRuntime& m) {
    runtime_ = m.runtime;
    config_ = m.config;
    ++generation_;
    if (settings().enabled && config_->enabled) next();
  }

  void next() { act::tell_after(caf::actor{self_}, settings().period, Tick{generation_, 0}); }

  void tick(std::uint64_t generation) {
    if (generation != generation_) return;
    next();
    look();
  }

  void look() {
    runtime_->list_containers([me = caf::actor{self_}](auto result) {
      act::tell(me, ContainersListed{std::move(result)});
    });
  }

  void listed(const Expected<std::vector<runtime::FoundContainer>>& result) {
    if (!result) {
      spdlog::warn("look for dangling containers: {}", result.error().message());
      if (!abandoned_.empty()) act::tell_after(caf::actor{self_}, kLookAgain, LookAgain{});
      return;
    }
    for (const runtime::FoundContainer& found : *result) end_abandoned(found);
    abandoned_.clear();
    if (!settings().enabled || !config_->enabled) return;
    const auto now = std::chrono::system_clock::now();
    std::vector<runtime::FoundContainer> candidates;
    std::set<std::string> from_the_future;
    for (const runtime::FoundContainer& found : *result) {
      // Of unknown age it may be in the making.
      if (!found.created_at) continue;
      if (*found.created_at > now) {
        // The clock was set back. It is old enough when it has been here for a whole period.
        const std::string& id = found.container.id;
        from_the_future.insert(id);
        if (!from_the_future_.contains(id)) continue;
      } else if (now - *found.created_at < settings().creation_grace) {
        continue;
      }
      // The operator wants to look at ended ones.
      if (!found.running && !config_->gc.container) continue;
      candidates.push_back(found);
    }
    from_the_future_ = std::move(from_the_future);
    if (!candidates.empty()) act::tell(driver_, FindDangling{std::move(candidates)});
  }

  // With gc.container off it stays to be looked at, but it does not run.
  void end_abandoned(const runtime::FoundContainer& found) {
    const auto task = found.labels.find(kLabelTaskId);
    if (task == found.labels.end() || !abandoned_.contains(task->second)) return;
    spdlog::warn("task {} was given up: ending its container {}", task->second,
                 found.container.name);
    const auto report = [](const Expected<void>& done) {
      if (!done) spdlog::warn("{}", done.error().message());
    };
    if (config_->gc.container) {
      runtime_->remove(found.container, false, report);
    } else {
      runtime_->stop(found.container, report);
    }
  }

  void remove(const std::vector<runtime::FoundContainer>& dangling) {
    for (const runtime::FoundContainer& found : dangling) {
      const std::string what = std::string{found.running ? "running" : "ended"} + " container " +
                               found.container.name + " (" + found.container.id + ")";
      if (settings().dry_run) {
        spdlog::warn("no task owns the {}: it would be removed (dry_run)", what);
        continue;
      }
      spdlog::warn("no task owns the {}: removing it", what);
      crash_point("reaper.found");
      runtime_->remove(found.container, false, [](const Expected<void>& removed) {
        if (!removed) spdlog::warn("{}", removed.error().message());
      });
    }
  }

  act::Self self_;
  caf::actor driver_;
  RuntimePtr runtime_;
  std::shared_ptr<const PluginConfig> config_;
  std::uint64_t generation_ = 0;
  std::set<std::string> from_the_future_;  // ids that the last look found so
  std::set<std::string> abandoned_;        // task ids whose containers are looked for
};

}  // namespace

caf::actor spawn_reaper(act::Self parent, caf::actor driver) {
  return parent->spawn<act::Host<ReaperActor>>(std::move(driver));
}

}  // namespace ndc::actors
