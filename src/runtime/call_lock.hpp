// A call of the engine's program that ends or removes a container goes on when the plugin is
// killed, and Apple's knows the container by its name only. The next plugin, asked for a start
// under that name, neither takes what such a call is about to remove for the task, nor makes
// something new under its hands: it waits for the end of those calls.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "runtime/event_loop.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// For Command::extra_fd of such a call: the child holds the lock of the container whose files are
// in `directory` for as long as it runs. Null where there is no such directory.
std::shared_ptr<UniqueFd> lock_for_call(const std::string& directory);

// Runs `then`, at once or later, when no such call goes on any more, or after `patience`: one that
// hangs must not keep the task from its start. Loop thread only.
void await_calls(EventLoop& loop, const std::string& directory, std::chrono::nanoseconds patience,
                 std::function<void()> then);

}  // namespace ndc::runtime
