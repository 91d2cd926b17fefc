// Rates from cumulative counters.
#pragma once

#include <optional>

#include "model/usage.hpp"

namespace ndc::actors {

// What happened between two samples. Without a predecessor, and where a counter went backwards
// (restart, wrap-around), the percentage is 0, as Nomad's own drivers report it. A counter that is
// missing on either side gives no percentage.
ResourceUsage usage_between(const std::optional<UsageSample>& before, const UsageSample& now,
                            const NodeCompute& node);

}  // namespace ndc::actors
