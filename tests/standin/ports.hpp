// Published ports and sockets: a proxy process per container, as the imitated helper has one.
#pragma once

#include <string>
#include <vector>

#include "standin/files.hpp"
#include "standin/plan.hpp"

namespace standin {

/// Binds the host's ports and sockets; the proxy ends when `lifeline` is closed. `made` gets the
/// paths of the sockets, which are the caller's to remove, also where something else went wrong.
/// Returns what did.
std::string publish(const Plan& plan, Fd* lifeline, std::vector<std::string>* made);

}  // namespace standin
