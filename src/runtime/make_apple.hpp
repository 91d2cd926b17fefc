// Apple's `container`, on every platform: tests and people without a Mac use a stand-in for it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"

namespace ndc::runtime {

// `monitor_program`: what is run as `<program> monitor …`; empty: this very program, kUnsupported
// where it has no roles (roles.hpp).
// `drain_time`: how long the attached CLI may go on after the end of its container, which takes up
// to six seconds (contract 4.2), before it is said not to return; twice command_timeout where that
// is longer.
// `login_dir`: what all plugins of a user share about logins at registries; empty: that user's own
// place (apple_login_lock.hpp).
Expected<std::shared_ptr<ContainerRuntime>> make_apple(
    const PluginConfig& config, std::shared_ptr<EventLoop> loop, std::string monitor_program = {},
    std::chrono::nanoseconds drain_time = std::chrono::seconds{15},
    const std::string& login_dir = {});

}  // namespace ndc::runtime
