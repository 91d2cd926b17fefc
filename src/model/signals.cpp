#include "model/signals.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

namespace ndc {
namespace {

struct Name {
  std::string_view name;
  int number;
};

// The names that Nomad's own drivers accept (its consul-template table), with Linux numbers. The
// first name of a number is the one printed.
constexpr std::array<Name, 28> kNames{{
    {"SIGHUP", 1},   {"SIGINT", 2},   {"SIGQUIT", 3},  {"SIGILL", 4},   {"SIGTRAP", 5},
    {"SIGABRT", 6},  {"SIGIOT", 6},   {"SIGBUS", 7},   {"SIGFPE", 8},   {"SIGKILL", 9},
    {"SIGUSR1", 10}, {"SIGSEGV", 11}, {"SIGUSR2", 12}, {"SIGPIPE", 13}, {"SIGALRM", 14},
    {"SIGTERM", 15}, {"SIGCONT", 18}, {"SIGSTOP", 19}, {"SIGTSTP", 20}, {"SIGTTIN", 21},
    {"SIGTTOU", 22}, {"SIGXCPU", 24}, {"SIGXFSZ", 25}, {"SIGPROF", 27}, {"SIGWINCH", 28},
    {"SIGIO", 29},   {"SIGPWR", 30},  {"SIGSYS", 31},
}};

// The guest's C library keeps 32 and 33 for itself.
constexpr int kRealTimeFirst = 34;
constexpr int kRealTimeLast = kLastSignal;

std::string upper_case(std::string_view text) {
  std::string upper{text};
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return upper;
}

std::optional<int> whole_number(std::string_view text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

// "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX-1".
std::optional<int> real_time_signal(std::string_view upper) {
  const bool first = upper.starts_with("SIGRTMIN");
  if (!first && !upper.starts_with("SIGRTMAX")) return std::nullopt;
  const int from = first ? kRealTimeFirst : kRealTimeLast;
  upper.remove_prefix(8);
  if (upper.empty()) return from;
  const char sign = upper.front();
  const auto steps = whole_number(upper.substr(1));
  if (sign != (first ? '+' : '-') || !steps || *steps < 0 ||
      *steps > kRealTimeLast - kRealTimeFirst) {
    return std::nullopt;
  }
  return first ? from + *steps : from - *steps;
}

std::string valid_names() {
  std::string list;
  for (const Name& entry : kNames) list += (list.empty() ? "" : ", ") + std::string{entry.name};
  return list;
}

}  // namespace

Expected<int> signal_number(std::string_view name) {
  const std::string upper = upper_case(name);
  const auto* it = std::find_if(kNames.begin(), kNames.end(),
                                [&](const Name& entry) { return entry.name == upper; });
  if (it != kNames.end()) return it->number;
  return fail({.code = ErrorCode::kInvalidConfig,
               .what = "signal",
               .on = std::string{name},
               .cause = "unknown signal",
               .hint = "use one of " + valid_names()});
}

Expected<int> image_signal_number(std::string_view text) {
  if (const auto number = whole_number(text)) {
    const bool sent =
        *number >= 1 && *number <= kRealTimeLast && (*number < 32 || *number >= kRealTimeFirst);
    if (sent) return *number;
  }
  std::string upper = upper_case(text);
  if (!upper.starts_with("SIG")) upper.insert(0, "SIG");
  if (const auto number = real_time_signal(upper)) return *number;
  auto named = signal_number(upper);
  if (!named) named.error().on = std::string{text};
  return named;
}

std::string signal_name(int number) {
  const auto* it = std::find_if(kNames.begin(), kNames.end(),
                                [&](const Name& entry) { return entry.number == number; });
  return it != kNames.end() ? std::string{it->name} : "signal " + std::to_string(number);
}

}  // namespace ndc
