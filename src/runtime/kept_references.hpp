// The references of images that a runtime removes when no task uses them any more, on disk: else a
// restart of the plugin would forget those that wait for it, and those whose last task ended while
// no plugin ran.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"

namespace ndc::runtime {

struct KeptReferences {
  std::set<std::string> references{};
  std::vector<Error> refused{};  // one for each line that is no reference, or was cut off
};
std::string kept_references_text(const std::set<std::string>& references);
KeptReferences parse_kept_references(std::string_view text);

// Empty where none were kept. What is no reference is left out with a warning. The error is
// kInternal.
Expected<std::set<std::string>> read_kept_references(const std::string& state_dir);

Expected<void> keep_references(const std::string& state_dir,
                               const std::set<std::string>& references);

}  // namespace ndc::runtime
