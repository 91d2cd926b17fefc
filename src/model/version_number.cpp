#include "model/version_number.hpp"

#include <charconv>

namespace ndc {

std::string VersionNumber::text() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::optional<VersionNumber> parse_version(std::string_view text) {
  VersionNumber out;
  bool first = true;
  for (int* part : {&out.major, &out.minor, &out.patch}) {
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *part);
    if (parsed.ec != std::errc{} || *part < 0) {
      if (first) return std::nullopt;
      *part = 0;
      return out;
    }
    first = false;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    if (!text.starts_with('.')) return out;
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace ndc
