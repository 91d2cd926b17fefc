// Takes apart what this program, or an earlier version of it, wrote: field by field, and what is
// not exactly so is refused. Part of the monitor too: no allocation.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace ndc::runtime {

// In ms since 1970 the latest time that is read, in the year 2255: every WallTime holds it.
inline constexpr std::int64_t kLatestMs = 9'000'000'000'000;

// Takes `word` off the front; false where something else is there.
inline bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

// Takes what is in front of `end` off, and `end`; false where there is none.
inline bool take_until(std::string_view& text, std::string_view& field, char end) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) return false;
  field = text.substr(0, at);
  text.remove_prefix(at + 1);
  return true;
}

// The same of a field that is a number and nothing else. A value below zero is none.
template <class Number>
bool take_number(std::string_view& text, Number& number, char end, int base = 10) {
  std::string_view field;
  if (!take_until(text, field, end)) return false;
  const char* const last = field.data() + field.size();
  const auto parsed = std::from_chars(field.data(), last, number, base);
  return parsed.ec == std::errc{} && parsed.ptr == last && !field.starts_with('-');
}

}  // namespace ndc::runtime
