// The decoders of what comes from outside, a target for each, or for each kind: any bytes in, an
// answer or an error out, and what must hold of every answer checked. A broken rule aborts.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace ndc::fuzz {

struct Target {
  const char* name;  // of its corpus too
  void (*run)(std::string_view input);
};

std::vector<Target> model_targets();
std::vector<Target> runtime_targets();
std::vector<Target> state_targets();
std::vector<Target> wire_targets();   // only where protobuf is
std::vector<Target> linux_targets();  // none elsewhere
std::vector<Target> all_targets();

inline void require(bool holds, const char* rule) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", rule);
  std::abort();
}

}  // namespace ndc::fuzz
