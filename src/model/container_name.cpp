#include "model/container_name.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace ndc {
namespace {

constexpr std::string_view kPrefix = "nomad-";
constexpr std::size_t kMaxName = 63;  // a host name's label, and Apple's limit for an id
constexpr std::size_t kHashDigits = 8;

// FNV-1a: stable over versions and platforms, which std::hash is not.
std::uint32_t fnv1a(std::string_view text) {
  std::uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

bool allowed(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

}  // namespace

std::string container_name(std::string_view task, std::string_view alloc_id) {
  std::string suffix = "-";
  for (const char c : alloc_id.substr(0, 8)) suffix += allowed(c) ? c : '_';
  std::string middle;
  for (const char c : task) middle += allowed(c) ? c : '_';
  const std::size_t room = kMaxName - kPrefix.size() - suffix.size();
  if (middle != task || middle.size() > room || middle.empty()) {
    char hash[kHashDigits + 2];
    std::snprintf(hash, sizeof hash, "-%08x", static_cast<unsigned>(fnv1a(task)));
    middle = middle.substr(0, room - kHashDigits - 1) + hash;
  }
  return std::string{kPrefix} + middle + suffix;
}

bool may_be_container_name(std::string_view name) {
  return name.size() <= kMaxName && name.starts_with(kPrefix) &&
         name.find('-', kPrefix.size() + 1) != std::string_view::npos &&
         std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace ndc
