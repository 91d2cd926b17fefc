#include "metrics/prometheus_metrics.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <thread>
#include <utility>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "metrics/listener.hpp"
#include "metrics/task_series.hpp"

namespace ndc::metrics {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

// Nothing here needs a destructor: while the process exits, a call of the engine may still end.
// In seconds. A start is 0.3 s where nothing has to be pulled; the longest pull has 5 min.
constexpr double kPhaseBuckets[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                    1,     2.5,  5,     10,   30,  60,   300};
// A call is some 0.1 s, and ends at command_timeout.
constexpr double kCallBuckets[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
constexpr double kPullBuckets[] = {0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};

Histogram::BucketBoundaries bounds(std::span<const double> buckets) {
  return {buckets.begin(), buckets.end()};
}

double seconds(std::chrono::nanoseconds took) {
  return std::chrono::duration<double>(took).count();
}

const char* to_string(StartPhase phase) {
  switch (phase) {
    case StartPhase::kCheck:
      return "check";
    case StartPhase::kImage:
      return "image";
    case StartPhase::kLogs:
      return "logs";
    case StartPhase::kContainer:
      return "container";
  }
  return "?";
}

// "stats sampler" → "stats_sampler"
std::string label(std::string_view words) {
  std::string out{words};
  std::replace(out.begin(), out.end(), ' ', '_');
  return out;
}

template <class Builder>
auto& family(prometheus::Registry& registry, Builder builder, const char* name, const char* help) {
  return builder.Name(std::string{"nomad_driver_container_"} + name).Help(help).Register(registry);
}

}  // namespace

struct PrometheusMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::shared_ptr<TaskSeries> task_series = std::make_shared<TaskSeries>();

  Family<Gauge>& tasks =
      family(*registry, prometheus::BuildGauge(), "tasks", "Tasks of this driver by state.");
  Family<Histogram>& phases =
      family(*registry, prometheus::BuildHistogram(), "task_start_phase_seconds",
             "How long each step of starting a task took, from the end of the one before.");
  Family<Histogram>& calls =
      family(*registry, prometheus::BuildHistogram(), "runtime_call_seconds",
             "How long calls of the container engine took, by subcommand and outcome.");
  Family<Histogram>& pulls = family(*registry, prometheus::BuildHistogram(), "image_pull_seconds",
                                    "How long image pulls took, by outcome.");
  Gauge& pulls_queued = family(*registry, prometheus::BuildGauge(), "image_pulls_queued",
                               "Pulls that wait for one of max_concurrent_pulls.")
                            .Add({});
  Gauge& pulls_running = family(*registry, prometheus::BuildGauge(), "image_pulls_running",
                                "Pulls that are under way.")
                             .Add({});
  Family<Gauge>& pull_bytes = family(*registry, prometheus::BuildGauge(), "image_pull_bytes",
                                     "What the engine has moved so far for each pull under way.");
  Family<Counter>& restarts = family(*registry, prometheus::BuildCounter(), "actor_restarts_total",
                                     "Parts of the driver that failed and were replaced.");

  std::mutex mutex;                            // of what is below
  std::map<std::string, Gauge*> bytes_series;  // by image
  std::string address;
  std::unique_ptr<Listener> listener;
};

PrometheusMetrics::PrometheusMetrics() : families_{std::make_unique<Families>()} {}
PrometheusMetrics::~PrometheusMetrics() = default;

Expected<void> PrometheusMetrics::serve(const std::string& address) {
  std::unique_ptr<Listener> listener;
  {
    const std::lock_guard lock{families_->mutex};
    if (address == families_->address) return {};
    if (!address.empty()) {
      auto opened = Listener::open(address, {families_->registry, families_->task_series});
      if (!opened) return fail(std::move(opened.error()));
      listener = std::move(*opened);
    }
    families_->listener.swap(listener);
    families_->address = address;
  }
  // The end of the earlier one waits for requests under way, and the caller must not.
  if (listener) std::thread{[earlier = std::move(listener)] {}}.detach();
  return {};
}

void PrometheusMetrics::tasks_changed(std::string_view state, int by) {
  families_->tasks.Add({{"state", label(state)}}).Increment(by);
}

void PrometheusMetrics::start_phase_done(StartPhase phase, std::chrono::nanoseconds took) {
  families_->phases.Add({{"phase", to_string(phase)}}, bounds(kPhaseBuckets))
      .Observe(seconds(took));
}

void PrometheusMetrics::usage(const std::string& owner, const std::string& alloc_id,
                              const std::string& task, const UsageSample& sample) {
  families_->task_series->put(owner, alloc_id, task, sample);
}

void PrometheusMetrics::usage_ends(const std::string& owner) {
  families_->task_series->drop(owner);
}

void PrometheusMetrics::pulls_changed(PullActivity activity) {
  families_->pulls_queued.Set(static_cast<double>(activity.queued));
  families_->pulls_running.Set(static_cast<double>(activity.running.size()));
  std::map<std::string, std::uint64_t> bytes;  // an image may be pulled for several credentials
  for (const auto& [image, count] : activity.running) bytes[image] += count;

  const std::lock_guard lock{families_->mutex};
  auto& series = families_->bytes_series;
  for (auto it = series.begin(); it != series.end();) {
    if (bytes.contains(it->first)) {
      ++it;
      continue;
    }
    families_->pull_bytes.Remove(it->second);
    it = series.erase(it);
  }
  for (const auto& [image, count] : bytes) {
    const auto [it, is_new] = series.try_emplace(image, nullptr);
    if (is_new) it->second = &families_->pull_bytes.Add({{"image", image}});
    it->second->Set(static_cast<double>(count));
  }
}

void PrometheusMetrics::pull_done(bool ok, std::chrono::nanoseconds took) {
  families_->pulls.Add({{"outcome", ok ? "ok" : "failed"}}, bounds(kPullBuckets))
      .Observe(seconds(took));
}

void PrometheusMetrics::runtime_call(std::string_view call, std::string_view outcome,
                                     std::chrono::nanoseconds took) {
  families_->calls
      .Add({{"call", std::string{call}}, {"outcome", std::string{outcome}}}, bounds(kCallBuckets))
      .Observe(seconds(took));
}

void PrometheusMetrics::restarted(std::string_view actor) {
  families_->restarts.Add({{"actor", label(actor)}}).Increment();
}

}  // namespace ndc::metrics
