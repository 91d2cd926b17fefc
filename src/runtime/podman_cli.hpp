// One podman call: how its command line begins, what environment it gets, how many run at a time.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "runtime/engine_call.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/process.hpp"

namespace ndc::runtime {

// What every podman inherits of this process's environment (process.hpp): what podman and its
// helpers read.
std::vector<std::string> podman_cli_environment();

class PodmanCli : public std::enable_shared_from_this<PodmanCli> {
 public:
  PodmanCli(EventLoop& loop, const PluginConfig& config);

  EventLoop& loop() const { return loop_; }

  // `podman <global options> <arguments…>` with the plugin's own environment, command_timeout as
  // its deadline, both streams captured. Callers change what they need before run().
  Command command(std::vector<std::string> arguments) const;

  // Runs it when one of the slots is free: a node that gets hundreds of tasks at once would
  // otherwise run as many podman processes, all waiting for podman's own locks until the deadline.
  // Only the run counts against the deadline, not the wait. Loop thread only.
  void run(Command command, std::function<void(Expected<CommandResult>)> done);

  // The same, for calls that are long by nature (pulls) or that only ask: takes no slot, and ends
  // with the loop.
  void run_aside(Command command, std::function<void(Expected<CommandResult>)> done);

  // Called when a call failed because podman is missing, broke off or did not answer, and, while it
  // is set, when the executable comes, goes or changes. Loop thread only.
  void on_doubt(std::function<void()> doubt);

  // ContainerRuntime::on_call(). Loop thread only.
  void on_call(CallSink sink) { call_sink_ = std::move(sink); }

  // run(), and an exit code other than 0 is an error too: podman_error() with `what` and `on`.
  void run_ok(std::vector<std::string> arguments, std::string what, std::string on,
              std::function<void(Expected<std::string>)> done);
  void run_ok(Command command, std::string what, std::string on,
              std::function<void(Expected<std::string>)> done);

 private:
  struct Waiting {
    Command command;
    std::function<void(Expected<CommandResult>)> done;
  };
  void next();
  void judge(const Expected<CommandResult>& result) const;
  void look_at_program();

  EventLoop& loop_;
  std::string program_;
  std::string oci_runtime_;
  std::chrono::nanoseconds timeout_;
  std::deque<Waiting> waiting_;
  int running_ = 0;
  std::function<void()> doubt_;
  CallSink call_sink_;
  std::string program_seen_;  // what was last to be seen of the executable
  std::shared_ptr<EventLoop::Timer> look_;
};

}  // namespace ndc::runtime
