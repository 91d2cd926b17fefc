// The two ways of a task's output to Nomad's log collector.
#pragma once

#include <memory>

#include "model/error.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/log_bridge.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// The workload itself gets the collector's FIFOs as its stdout and stderr. We keep a read-write end
// of each until finish(), so that the workload never sees EPIPE when the collector restarts.
// follow() bridges the workload's pipe into a FIFO that the collector made anew (log_bridge.hpp).
class DirectLogRoute : public LogRoute {
 public:
  bool pumped() const final { return false; }

  // For Stdio::descriptor(). Null after finish().
  virtual std::shared_ptr<UniqueFd> stdout_fd() const = 0;
  virtual std::shared_ptr<UniqueFd> stderr_fd() const = 0;
};

// Any thread; never blocks. The error (kInternal) names the path that could not be opened. Without
// a watch there is no bridge.
Expected<std::shared_ptr<DirectLogRoute>> open_direct_route(
    EventLoop& loop, const LogPaths& paths, std::shared_ptr<AppearanceWatch> watch = nullptr);

// Copies the log that ContainerRef.state["log_path"] names (conmon's k8s-file format) into the
// stdout FIFO. How far it came is kept in "<log_path>.delivered", which goes with the log.
Expected<std::shared_ptr<LogRoute>> open_pumped_route(EventLoop& loop, const LogPaths& paths);

}  // namespace ndc::runtime
