// Resource usage: cumulative counters as a runtime reads them, and what Nomad is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "model/task_exit.hpp"

namespace ndc {

// One reading. A counter that the runtime does not have stays empty, never 0.
struct UsageSample {
  WallTime at{};                                           // for display
  std::chrono::steady_clock::time_point taken{};           // for rates
  std::optional<std::chrono::nanoseconds> cpu_total;       // cumulative
  std::optional<std::chrono::nanoseconds> cpu_user;        // cumulative
  std::optional<std::chrono::nanoseconds> cpu_system;      // cumulative
  std::optional<std::uint64_t> throttled_periods;          // cumulative
  std::optional<std::chrono::nanoseconds> throttled_time;  // cumulative
  std::optional<std::uint64_t> memory_usage;               // bytes, page cache included
  std::optional<std::uint64_t> memory_rss;                 // bytes
  std::optional<std::uint64_t> memory_cache;               // bytes
  std::optional<std::uint64_t> memory_max;                 // bytes, high-water mark
  std::optional<std::uint64_t> memory_swap;                // bytes
  std::optional<std::uint64_t> memory_kernel;              // bytes

  // What Nomad has no place for; read only where somebody keeps metrics.
  std::optional<std::uint64_t> block_read;        // bytes, cumulative
  std::optional<std::uint64_t> block_written;     // bytes, cumulative
  std::optional<std::uint64_t> network_received;  // bytes, cumulative, without loopback
  std::optional<std::uint64_t> network_sent;      // bytes, cumulative, without loopback
  std::optional<std::uint64_t> pids;              // processes and threads
};

// One message of a TaskStats stream. Percentages are of one core: 200 is two cores busy.
struct ResourceUsage {
  UsageSample sample;
  std::optional<double> cpu_percent;
  std::optional<double> cpu_user_percent;
  std::optional<double> cpu_system_percent;
  double cpu_ticks_mhz = 0;  // percent / 100 × MHz of one core
};

// What the node can compute, from SetConfig; zero where Nomad did not say.
struct NodeCompute {
  double total_mhz = 0;
  unsigned cores = 0;
};

}  // namespace ndc
