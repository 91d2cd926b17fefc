// The driver as everybody outside the actor system sees it: one method per command, plain values
// and a Reply in, nothing of CAF. The RPC layer, tests and embedding programs use only this.
//
// Methods return at once and may be called from any thread. Replies come on an actor's thread.
// An unknown task id is answered with kTaskNotFound. What is to last longer than a year
// (kLongestWait) lasts a year.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "model/error.hpp"
#include "model/exec.hpp"
#include "model/fingerprint.hpp"
#include "model/plugin_config.hpp"
#include "model/reply.hpp"
#include "model/stream.hpp"
#include "model/task_event.hpp"
#include "model/task_exit.hpp"
#include "model/task_spec.hpp"
#include "model/task_status.hpp"
#include "model/usage.hpp"

namespace ndc::actors {

// What StartTask returns: the driver state for the handle, and the network of the container.
struct TaskStarted {
  std::string driver_state;
  std::optional<DriverNetwork> network;
};

struct DriverCapabilities {
  bool send_signals = true;
  bool exec = true;
  bool disable_log_collection = false;
};

class Driver {
 public:
  Driver() = default;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  virtual ~Driver() = default;

  // Takes a configuration into use; `node` is present only in the launch that will run tasks. No
  // side effect on the host, as Nomad also calls it just to validate. May come more than once.
  virtual void set_config(PluginConfig config, std::optional<NodeCompute> node,
                          Reply<Expected<void>> reply) = 0;
  virtual void capabilities(Reply<DriverCapabilities> reply) = 0;

  // The current fingerprint at once (or as soon as there is one), then every change, until closed.
  virtual void watch_fingerprint(Stream<Fingerprint> stream) = 0;
  // Events of all tasks from now on, until closed.
  virtual void watch_events(Stream<TaskEvent> stream) = 0;

  virtual void start_task(TaskSpec spec, Reply<Expected<TaskStarted>> reply) = 0;
  // `driver_state` is what an earlier start_task returned, byte for byte.
  virtual void recover_task(std::string task_id, std::string driver_state,
                            Reply<Expected<void>> reply) = 0;
  // Answers when the task has ended; any number of callers.
  virtual void wait_task(std::string task_id, Reply<Expected<TaskExit>> reply) = 0;
  // An empty signal means the task's own stop signal. Answers when the task is dead.
  virtual void stop_task(std::string task_id, std::chrono::nanoseconds timeout, std::string signal,
                         Reply<Expected<void>> reply) = 0;
  virtual void destroy_task(std::string task_id, bool force, Reply<Expected<void>> reply) = 0;
  virtual void inspect_task(std::string task_id, Reply<Expected<TaskStatus>> reply) = 0;
  // Usage every `interval` (bounded below at 100 ms) until the task ends or the stream is closed.
  virtual void watch_usage(std::string task_id, std::chrono::nanoseconds interval,
                           Stream<ResourceUsage> stream) = 0;
  virtual void signal_task(std::string task_id, std::string signal,
                           Reply<Expected<void>> reply) = 0;
  // Collects the output; the timeout ends the command (kTimeout).
  virtual void exec_task(std::string task_id, ExecRequest request,
                         Reply<Expected<ExecResult>> reply) = 0;
  // Streams; the reply brings the session that takes stdin, sizes and cancellation.
  virtual void exec_task_streaming(std::string task_id, ExecRequest request,
                                   std::shared_ptr<ExecClient> client,
                                   Reply<Expected<std::shared_ptr<ExecSession>>> reply) = 0;

  // Ends every open stream and pending reply and stops the actors. Tasks keep running. Blocks until
  // done (milliseconds); the only call that does. Further calls are answered with an error.
  virtual void shutdown() = 0;
};

}  // namespace ndc::actors
