// One sampling call per interval for all tasks together. Works only while somebody subscribes.

#include <algorithm>
#include <map>
#include <vector>

#include "actors/spawn.hpp"

namespace ndc::actors {
namespace {

class StatsSamplerActor {
 public:
  static constexpr const char* name = "stats_sampler_actor";
  explicit StatsSamplerActor(act::Self self) : self_{self} {}

  caf::behavior make_behavior() {
    return {
        [this](const UseRuntime& m) { runtime_ = m.runtime; },
        [this](const Subscribe& m) { subscribe(m); },
        [this](const Unsubscribe& m) { unsubscribe(m); },
        [this](const Tick& m) { tick(m.generation); },
        [this](const SamplesTaken& m) { hand_out(m.readings); },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  void subscribe(const Subscribe& m) {
    subscribers_[m.container.name] = m;
    restart_timer(std::chrono::nanoseconds{0});  // the first sample is the base of the rates
  }

  void unsubscribe(const Unsubscribe& m) {
    const auto known = subscribers_.find(m.container_name);
    if (known == subscribers_.end() || known->second.stats.id() != m.subscriber) return;
    subscribers_.erase(known);
    if (subscribers_.empty()) ++generation_;  // a pending tick finds itself stale
  }

  void restart_timer(std::chrono::nanoseconds delay) {
    act::tell_after(caf::actor{self_}, delay, Tick{++generation_});
  }

  void tick(std::uint64_t generation) {
    if (generation != generation_ || subscribers_.empty() || !runtime_) return;
    std::vector<ContainerRef> containers;
    auto shortest = std::chrono::nanoseconds::max();
    for (const auto& [key, subscriber] : subscribers_) {
      containers.push_back(subscriber.container);
      shortest = std::min(shortest, subscriber.interval);
    }
    restart_timer(shortest);
    if (sampling_) return;  // a slow runtime is asked again when it has answered
    sampling_ = true;
    runtime_->sample(std::move(containers), [me = caf::actor{self_}](auto readings) {
      act::tell(me, SamplesTaken{std::move(readings)});
    });
  }

  void hand_out(const std::vector<runtime::UsageReading>& readings) {
    sampling_ = false;
    for (const auto& reading : readings) {
      auto it = subscribers_.find(reading.container.name);
      if (it != subscribers_.end()) act::tell(it->second.stats, UsageSampled{reading.sample});
    }
  }

  act::Self self_;
  RuntimePtr runtime_;
  std::map<std::string, Subscribe> subscribers_;  // by container name
  std::uint64_t generation_ = 0;
  bool sampling_ = false;
};

}  // namespace

caf::actor spawn_stats_sampler(act::Self parent) {
  return parent->spawn<act::Host<StatsSamplerActor>>();
}

}  // namespace ndc::actors
