// What the operator lets a task ask for: capabilities, privileges, images. What depends on paths of
// the host is in runtime/mount_policy.hpp.
#pragma once

#include <vector>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "model/task_config.hpp"

namespace ndc {

// Everything that this node's operator refuses in the task, each naming the task's key and the
// plugin's setting that would allow it.
std::vector<Error> policy_refusals(const TaskConfig& task, const PluginConfig& plugin);

}  // namespace ndc
