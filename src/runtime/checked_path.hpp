// What a path of the host was when a policy allowed it, to see later whether somebody has led it
// elsewhere. For an engine that is given paths and opens them itself, as Apple's container: a look
// before and a look after leave no more than the moment between two swaps.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "model/error.hpp"

namespace ndc::runtime {

struct CheckedPath {
  std::string path;  // a real one
  dev_t device = 0;
  ino_t inode = 0;
};

// Of a path that has just been resolved; one that is gone already is like one that changes later.
CheckedPath checked_path(std::string path);

// kInvalidConfig with the first path that is another file by now, or is reached by a link.
std::optional<Error> led_elsewhere(const std::vector<CheckedPath>& paths);

}  // namespace ndc::runtime
