// The running tasks' own series: the last reading of each, turned into metric families when
// somebody asks. Any thread.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <prometheus/collectable.h>

#include "model/usage.hpp"

namespace ndc::metrics {

class TaskSeries final : public prometheus::Collectable {
 public:
  void put(const std::string& owner, const std::string& alloc_id, const std::string& task,
           const UsageSample& sample);
  void drop(const std::string& owner);

  // A figure that no task's engine has makes no family.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  struct Reading {
    std::string owner;
    UsageSample sample;
  };
  // By what becomes the labels: two series with the same labels are an error to Prometheus.
  using Labels = std::pair<std::string, std::string>;

  mutable std::mutex mutex_;
  std::map<Labels, Reading> readings_;
};

}  // namespace ndc::metrics
