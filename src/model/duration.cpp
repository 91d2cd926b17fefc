#include "model/duration.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace ndc {
namespace {

using std::chrono::nanoseconds;

constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> kUnits{{
    {"h", 3'600'000'000'000},
    {"m", 60'000'000'000},
    {"s", 1'000'000'000},
    {"ms", 1'000'000},
    {"us", 1'000},
    {"µs", 1'000},
    {"ns", 1},
}};

Error bad_duration(std::string_view text, std::string why) {
  return {.code = ErrorCode::kInvalidConfig,
          .what = "parse duration",
          .on = std::string{text},
          .cause = std::move(why),
          .hint = "write for example \"30s\", \"5m\" or \"1h30m\""};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Expected<nanoseconds> parse_duration(std::string_view text) {
  if (text == "0") return nanoseconds{0};
  if (text.empty()) return fail(bad_duration(text, "it is empty"));
  constexpr auto kMax = static_cast<double>(std::numeric_limits<std::int64_t>::max());
  double total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    double number = 0;
    double scale = 1;
    bool digits = false;
    std::size_t i = 0;
    for (; i < rest.size() && is_digit(rest[i]); ++i, digits = true) {
      number = number * 10 + (rest[i] - '0');
    }
    if (i < rest.size() && rest[i] == '.') {
      for (++i; i < rest.size() && is_digit(rest[i]); ++i, digits = true) {
        scale /= 10;
        number += (rest[i] - '0') * scale;
      }
    }
    if (!digits) return fail(bad_duration(text, "a number is missing"));
    std::size_t end = i;
    while (end < rest.size() && !is_digit(rest[end]) && rest[end] != '.') ++end;
    const std::string_view unit = rest.substr(i, end - i);
    std::int64_t factor = 0;
    for (const auto& [name, value] : kUnits) {
      if (name == unit) factor = value;
    }
    if (factor == 0) {
      return fail(
          bad_duration(text, unit.empty() ? "a unit is missing" : "unknown unit " + quoted(unit)));
    }
    total += number * static_cast<double>(factor);
    if (total >= kMax) return fail(bad_duration(text, "it is too long"));
    rest.remove_prefix(end);
  }
  return nanoseconds{std::llround(total)};
}

std::string format_duration(nanoseconds duration) {
  std::int64_t rest = duration.count();
  if (rest == 0) return "0s";
  std::string out;
  if (rest < 0) return std::to_string(rest) + "ns";
  for (const auto& [name, value] : kUnits) {
    if (name == "µs" || rest < value) continue;
    out += std::to_string(rest / value) + std::string{name};
    rest %= value;
  }
  return out;
}

}  // namespace ndc
