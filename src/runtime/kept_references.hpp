// The references of images that a runtime removes when no task uses them any more, on disk: else a
// restart of the plugin would forget those that wait for it, and those whose last task ended while
// no plugin ran.
#pragma once

#include <set>
#include <string>

#include "model/error.hpp"

namespace ndc::runtime {

// Empty where none were kept. What is no reference is left out with a warning. The error is
// kInternal.
Expected<std::set<std::string>> read_kept_references(const std::string& state_dir);

Expected<void> keep_references(const std::string& state_dir,
                               const std::set<std::string>& references);

}  // namespace ndc::runtime
