#include "model/signals.hpp"

#include <algorithm>
#include <array>
#include <cctype>

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

std::string valid_names() {
  std::string list;
  for (const Name& entry : kNames) list += (list.empty() ? "" : ", ") + std::string{entry.name};
  return list;
}

}  // namespace

Expected<int> signal_number(std::string_view name) {
  std::string upper{name};
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto* it = std::find_if(kNames.begin(), kNames.end(),
                                [&](const Name& entry) { return entry.name == upper; });
  if (it != kNames.end()) return it->number;
  return fail({.code = ErrorCode::kInvalidConfig,
               .what = "signal",
               .on = std::string{name},
               .cause = "unknown signal",
               .hint = "use one of " + valid_names()});
}

std::string signal_name(int number) {
  const auto* it = std::find_if(kNames.begin(), kNames.end(),
                                [&](const Name& entry) { return entry.number == number; });
  return it != kNames.end() ? std::string{it->name} : "signal " + std::to_string(number);
}

}  // namespace ndc
