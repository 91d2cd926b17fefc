// One task's usage: turns the sampler's readings into rates and serves the streams that Nomad
// opened on the task, each at its own interval.

#include <algorithm>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "actors/spawn.hpp"
#include "actors/usage_rates.hpp"
#include "model/duration.hpp"

namespace ndc::actors {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::nanoseconds kShortestInterval = 100ms;

// How old the metrics of a task may be that Nomad does not look at: what Prometheus scrapes by
// default is four times as old.
constexpr std::chrono::nanoseconds kMetricsInterval = 10s;

class StatsActor {
 public:
  static constexpr const char* name = "stats_actor";
  static const std::string& task_of(const NodeCompute&, const caf::actor&,
                                    const std::shared_ptr<Metrics>&, const TaskIdentity& task) {
    return task.task_id;
  }
  StatsActor(act::Self self, NodeCompute node, caf::actor sampler, std::shared_ptr<Metrics> metrics,
             TaskIdentity task)
      : self_{self},
        number_{self->id()},
        node_{node},
        sampler_{std::move(sampler)},
        metrics_{std::move(metrics)},
        task_{std::move(task)} {}
  ~StatsActor() {
    if (metrics_) metrics_->usage_ends(task_.task_id);
    unsubscribe();
  }
  StatsActor(const StatsActor&) = delete;
  StatsActor& operator=(const StatsActor&) = delete;

  caf::behavior make_behavior() {
    return {
        [this](const SampleContainer& m) { measure(m.container); },
        [this](const WatchUsage& m) { watch(m); },
        [this](const UsageSampled& m) { sampled(m.sample); },
        [this](const UseHelpers& m) {
          sampler_ = m.helpers.sampler;
          subscribe();
        },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  struct Reader {
    Stream<ResourceUsage> stream;
    std::chrono::nanoseconds interval;
    Clock::time_point due{};
    std::optional<UsageSample> last;  // each reader's rates cover its own interval
  };

  void measure(const ContainerRef& container) {
    container_ = container;
    subscribe();
  }

  void watch(const WatchUsage& m) {
    readers_.push_back({m.stream, std::max(bounded_wait(m.interval), kShortestInterval), {}, {}});
    subscribe();
  }

  void subscribe() {
    if (!container_ || (readers_.empty() && !metrics_)) return;
    auto shortest = metrics_ ? kMetricsInterval : std::chrono::nanoseconds::max();
    for (const Reader& reader : readers_) shortest = std::min(shortest, reader.interval);
    act::tell(sampler_, Subscribe{*container_, shortest, caf::actor{self_}});
  }

  void unsubscribe() {
    if (container_) act::tell(sampler_, Unsubscribe{container_->name, number_});
  }

  void sampled(const Expected<UsageSample>& sample) {
    const auto left =
        std::erase_if(readers_, [](const Reader& reader) { return reader.stream->closed(); });
    if (readers_.empty() && !metrics_) {
      unsubscribe();
      return;
    }
    if (left > 0) subscribe();  // at the pace of those that are still there
    if (!sample) {
      // Missing numbers stay missing; the stream stays open and silent.
      spdlog::debug("no usage sample: {}", sample.error().message());
      return;
    }
    if (metrics_) metrics_->usage(task_.task_id, task_.alloc_id, task_.task_name, *sample);
    for (Reader& reader : readers_) {
      // A tick that comes a little early still counts for its interval.
      if (sample->taken + reader.interval / 10 < reader.due) continue;
      reader.stream->next(usage_between(reader.last, *sample, node_));
      reader.last = *sample;
      reader.due = sample->taken + reader.interval;
    }
  }

  act::Self self_;
  caf::actor_id number_;
  NodeCompute node_;
  caf::actor sampler_;
  std::shared_ptr<Metrics> metrics_;  // null: not wanted
  TaskIdentity task_;
  std::optional<ContainerRef> container_;
  std::vector<Reader> readers_;
};

}  // namespace

caf::actor spawn_stats(act::Self parent, NodeCompute node, caf::actor sampler,
                       std::shared_ptr<Metrics> metrics, TaskIdentity task) {
  return parent->spawn<act::Host<StatsActor>>(node, std::move(sampler), std::move(metrics),
                                              std::move(task));
}

}  // namespace ndc::actors
