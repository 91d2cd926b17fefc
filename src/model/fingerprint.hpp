// What the driver tells Nomad about this node.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

namespace ndc {

enum class Health { kUndetected, kUnhealthy, kHealthy };

using AttributeValue = std::variant<bool, std::int64_t, std::string>;
using Attributes = std::map<std::string, AttributeValue>;

struct Fingerprint {
  Health health = Health::kUndetected;
  // Every change becomes a node event, so it holds no counter, time or path that varies.
  std::string description;
  Attributes attributes;  // full keys: "driver.container.runtime_version"
  bool operator==(const Fingerprint&) const = default;
};

}  // namespace ndc
