// Chooses and builds the runtime that a configuration names.
#pragma once

#include <memory>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"

namespace ndc::runtime {

// `auto` is Podman on Linux, Apple's `container` on macOS. kUnsupported where this build or this
// platform does not have it, or where it would run this program in a role and run_role()
// (roles.hpp) has not been called. Touches nothing on the host: directories are made when the first
// task needs them.
Expected<std::shared_ptr<ContainerRuntime>> make_runtime(const PluginConfig& config,
                                                         std::shared_ptr<EventLoop> loop);

}  // namespace ndc::runtime
