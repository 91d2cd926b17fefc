// Versions of engines, compared by number: "4.3.1", "1.2.2".
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace ndc {

struct VersionNumber {
  int major = 0;
  int minor = 0;
  int patch = 0;
  // clang-tidy 14 takes the zero inside the comparison for a null pointer.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const VersionNumber&) const = default;
  std::string text() const;
};

// The numbers at the start of `text` ("5.0.0-dev" is 5.0.0, "4.3" is 4.3.0); nullopt without any.
std::optional<VersionNumber> parse_version(std::string_view text);

}  // namespace ndc
