// `create`, and the first half of `run`.
#pragma once

#include <string>

#include "standin/commands.hpp"
#include "standin/plan.hpp"

namespace standin {

/// Returns the ID of a container that now exists.
std::string create_container(const Call& call);

/// At a start: makes the published sockets of the host lead to the container's.
void publish_sockets(const Plan& plan, const Json& record);

}  // namespace standin
