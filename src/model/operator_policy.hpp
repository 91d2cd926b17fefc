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

// What to ask the engine for: with allowed_images the full reference, which is what the list was
// compared with. An engine's own rules for short names may lead to another image, one that was
// loaded as "localhost/redis" for example. Without a list they are the node's affair; a transport
// prefix is taken off in any case.
std::string image_to_use(const std::string& image, const PluginConfig& plugin);

}  // namespace ndc
