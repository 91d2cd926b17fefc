#include "actors/usage_rates.hpp"

#include <algorithm>

namespace ndc::actors {
namespace {

using Counter = std::optional<std::chrono::nanoseconds>;

std::optional<double> percent(const Counter& before, const Counter& now,
                              std::chrono::nanoseconds elapsed, bool first) {
  if (!now) return std::nullopt;
  if (first || elapsed.count() <= 0) return 0.0;
  if (!before) return std::nullopt;
  const double used = static_cast<double>((*now - *before).count());
  return std::max(0.0, used / static_cast<double>(elapsed.count()) * 100.0);
}

}  // namespace

ResourceUsage usage_between(const std::optional<UsageSample>& before, const UsageSample& now,
                            const NodeCompute& node) {
  ResourceUsage usage;
  usage.sample = now;
  const UsageSample base = before.value_or(UsageSample{});
  const auto elapsed = before ? now.taken - before->taken : std::chrono::nanoseconds{0};
  usage.cpu_percent = percent(base.cpu_total, now.cpu_total, elapsed, !before);
  usage.cpu_user_percent = percent(base.cpu_user, now.cpu_user, elapsed, !before);
  usage.cpu_system_percent = percent(base.cpu_system, now.cpu_system, elapsed, !before);
  if (node.cores > 0) {
    usage.cpu_ticks_mhz =
        usage.cpu_percent.value_or(0) / 100.0 * node.total_mhz / static_cast<double>(node.cores);
  }
  return usage;
}

}  // namespace ndc::actors
