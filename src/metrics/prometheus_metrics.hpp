// The driver's metrics for Prometheus: counts always (it costs next to nothing), serves them once
// it is told where. docs/metrics.md lists the families.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "model/error.hpp"
#include "model/metrics.hpp"

namespace ndc::metrics {

class PrometheusMetrics final : public Metrics {
 public:
  PrometheusMetrics();
  ~PrometheusMetrics() override;

  // Listens at `address` from here on instead of wherever it did before; nowhere if it is empty.
  // kInvalidConfig where that cannot be; then the old address goes on. Blocks for milliseconds.
  Expected<void> serve(const std::string& address);

  void tasks_changed(std::string_view state, int by) override;
  void start_phase_done(StartPhase phase, std::chrono::nanoseconds took) override;
  void usage(const std::string& owner, const std::string& alloc_id, const std::string& task,
             const UsageSample& sample) override;
  void usage_ends(const std::string& owner) override;
  void pulls_changed(PullActivity activity) override;
  void pull_done(bool ok, std::chrono::nanoseconds took) override;
  void runtime_call(std::string_view call, std::string_view outcome,
                    std::chrono::nanoseconds took) override;
  void restarted(std::string_view actor) override;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace ndc::metrics
