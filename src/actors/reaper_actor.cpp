// Removes containers of this node that no task owns: what a crash at the wrong moment, or a
// recovery that failed, left behind. Knows a container by the driver's labels; which are owned, the
// driver actor says. Never looks before a whole period has passed, so that a restarted client has
// recovered its tasks by then.

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

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
        [this](const ContainersListed& m) { listed(m); },
        [this](const TaskAbandoned& m) {
          abandoned_[m.task_id].since = looks_ + 1;
          look();
        },
        [this](const AbandonedEnded& m) { abandoned_ended(m); },
        [this](const LookAgain&) {
          looks_again_ = false;
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
    if (!runtime_) return look_again();
    runtime_->list_containers([me = caf::actor{self_}, look = ++looks_](auto result) {
      act::tell(me, ContainersListed{std::move(result), look});
    });
  }

  void look_again() {
    if (std::exchange(looks_again_, true)) return;
    act::tell_after(caf::actor{self_}, kLookAgain, LookAgain{});
  }

  void listed(const ContainersListed& m) {
    const auto& result = m.result;
    if (!result) {
      spdlog::warn("look for dangling containers: {}", result.error().message());
      if (!abandoned_.empty()) look_again();
      return;
    }
    end_abandoned(*result, m.look);
    if (!settings().enabled || !config_->enabled) return;
    const auto now = std::chrono::system_clock::now();
    std::map<std::string, std::chrono::system_clock::time_point> first_seen;
    std::vector<runtime::FoundContainer> candidates;
    for (const runtime::FoundContainer& found : *result) {
      // An age that the engine does not tell, or that a clock set back made one in the future,
      // counts from when the container was first seen.
      auto since = found.created_at;
      if (!since || *since > now) {
        const auto before = first_seen_.find(found.container.name);
        since = before == first_seen_.end() ? now : std::min(before->second, now);
        first_seen[found.container.name] = *since;
      }
      if (now - *since < settings().creation_grace) continue;
      // The operator wants to look at ended ones.
      const bool ended = !found.running && !found.container.id.empty();
      if (ended && !config_->gc.container && !found.start_failed) continue;
      candidates.push_back(found);
    }
    first_seen_ = std::move(first_seen);
    if (!candidates.empty()) act::tell(driver_, FindDangling{std::move(candidates)});
  }

  void end_abandoned(const std::vector<runtime::FoundContainer>& all, std::uint64_t look) {
    for (const runtime::FoundContainer& found : all) {
      const auto label = found.labels.find(kLabelTaskId);
      if (label == found.labels.end()) continue;
      const auto task = abandoned_.find(label->second);
      if (task == abandoned_.end() || std::exchange(task->second.ending, true)) continue;
      end_abandoned(task->first, found);
    }
    // Of a list that was asked for before the task was given up, nothing follows from a container's
    // absence.
    std::erase_if(abandoned_, [look](const auto& task) {
      return !task.second.ending && task.second.since <= look;
    });
  }

  // With gc.container off it stays to be looked at, but it does not run.
  void end_abandoned(const std::string& task_id, const runtime::FoundContainer& found) {
    spdlog::warn("task {} was given up: ending its container {}", task_id, found.container.name);
    const auto ended = [me = caf::actor{self_}, task_id](Expected<void> result) {
      act::tell(me, AbandonedEnded{task_id, std::move(result)});
    };
    if (config_->gc.container || found.container.id.empty()) {
      runtime_->remove(found.container, false, ended);
    } else {
      runtime_->stop(found.container, ended);
    }
  }

  void abandoned_ended(const AbandonedEnded& m) {
    const auto task = abandoned_.find(m.task_id);
    if (task == abandoned_.end()) return;
    if (m.result) {
      abandoned_.erase(task);
      return;
    }
    spdlog::warn("{}", m.result.error().message());
    task->second.ending = false;
    look_again();
  }

  static std::string describe(const runtime::FoundContainer& found) {
    const ContainerRef& container = found.container;
    if (container.id.empty())
      return "the files of container " + container.name + ", which has gone";
    return (found.running ? "the running container " : "the ended container ") + container.name +
           " (" + container.id + ")";
  }

  void remove(const std::vector<runtime::FoundContainer>& dangling) {
    for (const runtime::FoundContainer& found : dangling) {
      const std::string what = describe(found);
      if (settings().dry_run) {
        spdlog::warn("no task owns {}: this would be removed (dry_run)", what);
        continue;
      }
      spdlog::warn("no task owns {}: removing this", what);
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
  // Of containers whose age is not known: Apple's CLI before 1.0 does not tell it of one that was
  // never started.
  std::map<std::string, std::chrono::system_clock::time_point> first_seen_;
  struct Abandoned {
    std::uint64_t since = 0;  // the first look that can tell where its container is
    bool ending = false;
  };
  std::map<std::string, Abandoned> abandoned_;  // by task id
  std::uint64_t looks_ = 0;
  bool looks_again_ = false;
};

}  // namespace

caf::actor spawn_reaper(act::Self parent, caf::actor driver) {
  return parent->spawn<act::Host<ReaperActor>>(std::move(driver));
}

}  // namespace ndc::actors
