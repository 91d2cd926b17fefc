// The two ways of a task's output to Nomad's log collector.
#pragma once

#include <memory>

#include "model/error.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/log_bridge.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// A route that ends in the collector's two FIFOs. follow() bridges from the pipe that bytes go to
// into a FIFO that the collector made anew (log_bridge.hpp).
class FifoRoute : public LogRoute {
 public:
  // Read-write ends of the FIFOs, opened by the first call, hold() or follow(): when the collector
  // has seen a writer, there has to be one until the end of the stream. Whoever runs as long as the
  // container should have them open. Null after finish(), and where they cannot be opened.
  virtual std::shared_ptr<UniqueFd> stdout_fd() const = 0;
  virtual std::shared_ptr<UniqueFd> stderr_fd() const = 0;
};

// The workload itself gets the FIFOs as its stdout and stderr, read-write, so that it never sees
// EPIPE when the collector restarts. Any thread; never blocks. The error (kInternal) names the path
// that cannot be one of a FIFO. Without a watch there is no bridge.
Expected<std::shared_ptr<FifoRoute>> open_direct_route(
    EventLoop& loop, const LogPaths& paths, std::shared_ptr<AppearanceWatch> watch = nullptr);

// Copies the log that ContainerRef.state["log_path"] names (conmon's k8s-file format) into the
// stdout FIFO. How far it came is kept in "<log_path>.delivered", which goes with the log.
Expected<std::shared_ptr<FifoRoute>> open_pumped_route(
    EventLoop& loop, const LogPaths& paths, std::shared_ptr<AppearanceWatch> watch = nullptr);

}  // namespace ndc::runtime
