// Metrics that a test can look at.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/metrics.hpp"

namespace ndc::test {

// For one thread, as actors under the Testkit are.
class CountedMetrics final : public Metrics {
 public:
  std::map<std::string, int> tasks;  // by state
  std::vector<StartPhase> phases;
  std::set<std::string> with_usage;  // owners
  PullActivity pulls;
  std::vector<bool> pulls_done;
  std::vector<std::string> restarts;

  void tasks_changed(std::string_view state, int by) override {
    if ((tasks[std::string{state}] += by) == 0) tasks.erase(std::string{state});
  }
  void start_phase_done(StartPhase phase, std::chrono::nanoseconds /*took*/) override {
    phases.push_back(phase);
  }
  void usage(const std::string& owner, const std::string& /*alloc_id*/, const std::string& /*task*/,
             const UsageSample& /*sample*/) override {
    with_usage.insert(owner);
  }
  void usage_ends(const std::string& owner) override { with_usage.erase(owner); }
  void pulls_changed(PullActivity activity) override { pulls = std::move(activity); }
  void pull_done(bool ok, std::chrono::nanoseconds /*took*/) override { pulls_done.push_back(ok); }
  void restarted(std::string_view actor) override { restarts.emplace_back(actor); }
};

}  // namespace ndc::test
