// Published ports: a proxy process per container, as the imitated helper has one.
#pragma once

#include <string>

#include "standin/files.hpp"
#include "standin/plan.hpp"

namespace standin {

/// Binds the host's ports; the proxy ends when `lifeline` is closed. Returns what went wrong.
std::string publish_ports(const Plan& plan, Fd* lifeline);

}  // namespace standin
