// `create`, and the first half of `run`.
#pragma once

#include <string>

#include "standin/commands.hpp"

namespace standin {

/// Returns the ID of a container that now exists.
std::string create_container(const Call& call);

}  // namespace standin
