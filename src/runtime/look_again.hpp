// For what no event tells of, as that another process lets go of a lock: a look at once, and then
// ten times a second.
#pragma once

#include <chrono>
#include <functional>

#include "runtime/event_loop.hpp"

namespace ndc::runtime {

// Runs `then`, at once or later: with true when `look` has said that it is so, with false when it
// still was not at `until`. Loop thread only.
void look_again(EventLoop& loop, std::chrono::steady_clock::time_point until,
                std::function<bool()> look, std::function<void(bool in_time)> then);

}  // namespace ndc::runtime
