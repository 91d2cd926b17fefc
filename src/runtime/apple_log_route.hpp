// A task's output on Apple's runtime: its monitor copies it into the collector's FIFOs, whether the
// plugin lives or not. The route holds the FIFOs open, so that neither loses what is in them when
// the monitor ends, and tells when everything has been taken.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/error.hpp"
#include "runtime/apple_watch.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"

namespace ndc::runtime {

// `watch_of` finds a container's watch, null if there is none; it is called on the loop thread.
// Any thread; never blocks.
Expected<std::shared_ptr<LogRoute>> open_apple_route(
    EventLoop& loop, const LogPaths& paths,
    std::function<std::shared_ptr<AppleWatch>(const std::string& id)> watch_of);

// `done` once the monitor has delivered everything, or the collector takes nothing for some seconds
// though there is something for it, which `gave_up` is told before. Loop thread only; not from
// within the watch's own call.
void await_delivery(EventLoop& loop, std::shared_ptr<AppleWatch> watch, std::function<void()> done,
                    std::function<void(Error)> gave_up = nullptr);

}  // namespace ndc::runtime
