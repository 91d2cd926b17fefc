// What a direct log route needs when the log collector makes a new FIFO at the old one's path (it
// was restarted after its files were removed): the workload still writes into the old pipe, so its
// bytes are moved on into the new one. Nothing is copied or watched closely while that is not so.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// Tells when something appears in a directory; one watch for all tasks. Loop thread only.
class AppearanceWatch {
 public:
  AppearanceWatch() = default;
  AppearanceWatch(const AppearanceWatch&) = delete;
  AppearanceWatch& operator=(const AppearanceWatch&) = delete;
  virtual ~AppearanceWatch() = default;

  // Calls `appeared` each time that `path` comes into being, until the returned token is dropped.
  // Null where the directory cannot be watched.
  virtual std::shared_ptr<void> watch(const std::string& path, std::function<void()> appeared) = 0;
};

// Null where this platform has no bridge.
std::shared_ptr<AppearanceWatch> make_appearance_watch(EventLoop& loop);

// Bridges one stream. Loop thread only.
class LogBridge {
 public:
  LogBridge() = default;
  LogBridge(const LogBridge&) = delete;
  LogBridge& operator=(const LogBridge&) = delete;
  virtual ~LogBridge() = default;

  // Moves what is still in the pipe, for at most 5 s, then calls `drained`. Keeps itself until
  // then.
  virtual void finish(std::function<void()> drained) = 0;
};

// `pipe` is an end of the pipe that the workload writes to, `path` the collector's FIFO.
std::shared_ptr<LogBridge> make_log_bridge(EventLoop& loop, AppearanceWatch& watch,
                                           std::string path, UniqueFd pipe);

// Notes in the container's reference which pipes its stdout and stderr are, so that they can be
// found again when the collector's paths lead elsewhere. `fds`: ends of them; -1 for none.
void save_pipes(std::array<int, 2> fds, ContainerRef& container);

// An own end of the pipe that the container's stdout (0) or stderr (1) is: `own`'s, where that is
// the pipe which was noted or nothing was; else the one that a process of the container has open.
// Invalid where there is none.
UniqueFd workload_pipe(const ContainerRef& container, std::size_t stream, int own);

}  // namespace ndc::runtime
