// A file without a name, for what a child must read but nobody else may find (environment with
// secrets, credentials). Given to the child as Command::extra_fd, it is "/dev/fd/3" there.
#pragma once

#include <memory>
#include <string_view>

#include "model/error.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// Holds `contents`, positioned at the start, close-on-exec. The error is
// kRuntimeUnavailable: there may be descriptors and room later.
Expected<std::shared_ptr<UniqueFd>> anonymous_file(std::string_view contents);

}  // namespace ndc::runtime
