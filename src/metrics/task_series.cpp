#include "metrics/task_series.hpp"

#include <cstdint>
#include <optional>

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>

namespace ndc::metrics {
namespace {

struct Figure {
  const char* name;
  const char* help;
  prometheus::MetricType type;
  std::optional<std::uint64_t> UsageSample::*value;
};

using prometheus::MetricType;

constexpr Figure kFigures[] = {
    {"nomad_driver_container_task_network_receive_bytes_total",
     "Bytes that the task's network interfaces have received, loopback left out.",
     MetricType::Counter, &UsageSample::network_received},
    {"nomad_driver_container_task_network_transmit_bytes_total",
     "Bytes that the task's network interfaces have sent, loopback left out.", MetricType::Counter,
     &UsageSample::network_sent},
    {"nomad_driver_container_task_block_read_bytes_total",
     "Bytes that the task has read from block devices.", MetricType::Counter,
     &UsageSample::block_read},
    {"nomad_driver_container_task_block_write_bytes_total",
     "Bytes that the task has written to block devices.", MetricType::Counter,
     &UsageSample::block_written},
    {"nomad_driver_container_task_pids", "Processes and threads of the task.", MetricType::Gauge,
     &UsageSample::pids},
};

}  // namespace

void TaskSeries::put(const std::string& owner, const std::string& alloc_id, const std::string& task,
                     const UsageSample& sample) {
  const std::lock_guard lock{mutex_};
  readings_[{alloc_id, task}] = {owner, sample};
}

void TaskSeries::drop(const std::string& owner) {
  const std::lock_guard lock{mutex_};
  std::erase_if(readings_, [&](const auto& entry) { return entry.second.owner == owner; });
}

std::vector<prometheus::MetricFamily> TaskSeries::Collect() const {
  const std::lock_guard lock{mutex_};
  std::vector<prometheus::MetricFamily> out;
  for (const Figure& figure : kFigures) {
    prometheus::MetricFamily family{figure.name, figure.help, figure.type, {}};
    for (const auto& [labels, reading] : readings_) {
      const auto value = reading.sample.*figure.value;
      if (!value) continue;
      prometheus::ClientMetric metric;
      metric.label = {{"alloc_id", labels.first}, {"task", labels.second}};
      metric.counter.value = static_cast<double>(*value);
      metric.gauge.value = static_cast<double>(*value);
      family.metric.push_back(std::move(metric));
    }
    if (!family.metric.empty()) out.push_back(std::move(family));
  }
  return out;
}

}  // namespace ndc::metrics
