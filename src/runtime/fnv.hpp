// FNV-1a: stable over versions and platforms, which std::hash is not. No defence against anybody.
#pragma once

#include <cstdint>
#include <string_view>

namespace ndc::runtime {

constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t value = 14695981039346656037u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return value;
}

}  // namespace ndc::runtime
