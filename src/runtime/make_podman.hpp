// Podman, where this build has it.
#pragma once

#include <memory>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"

namespace ndc::runtime {

// kUnsupported off Linux, and where `volumes` restricts paths in a program without roles.
Expected<std::shared_ptr<ContainerRuntime>> make_podman(const PluginConfig& config,
                                                        std::shared_ptr<EventLoop> loop);

}  // namespace ndc::runtime
