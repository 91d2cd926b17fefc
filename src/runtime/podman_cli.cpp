#include "runtime/podman_cli.hpp"

#include <algorithm>
#include <string_view>
#include <thread>
#include <utility>

#include "runtime/podman_errors.hpp"

namespace ndc::runtime {
namespace {

// Most podman calls end before it pays to collect garbage: Go's usual pace costs 7 to 10 ms of CPU
// in each, a tenth of the call. An operator's own setting stays.
constexpr std::string_view kGarbageCollection = "GOGC=400";

void collect_less(std::vector<std::string>& environment) {
  const bool set = std::any_of(environment.begin(), environment.end(),
                               [](const std::string& entry) { return entry.starts_with("GOGC="); });
  if (!set) environment.emplace_back(kGarbageCollection);
}

// A call is some 80 ms of CPU and waits for files as long again: more than this only queue up at
// podman's locks.
int slots() { return 4 * static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

}  // namespace

PodmanCli::PodmanCli(EventLoop& loop, const PluginConfig& config)
    : loop_{loop},
      program_{config.podman_path.empty() ? "podman" : config.podman_path},
      oci_runtime_{config.oci_runtime},
      timeout_{config.command_timeout} {}

Command PodmanCli::command(std::vector<std::string> arguments) const {
  Command out;
  // At the level "warn" podman tells the task's stderr about this host's cgroups; at "fatal" its
  // network tool does the same about itself.
  out.argv = {program_, "--log-level=error"};
  if (!oci_runtime_.empty()) out.argv.push_back("--runtime=" + oci_runtime_);
  out.argv.insert(out.argv.end(), std::make_move_iterator(arguments.begin()),
                  std::make_move_iterator(arguments.end()));
  out.environment = child_environment();
  collect_less(out.environment);
  out.timeout = timeout_;
  return out;
}

void PodmanCli::run(Command command, std::function<void(Expected<CommandResult>)> done) {
  waiting_.push_back({std::move(command), std::move(done)});
  next();
}

void PodmanCli::next() {
  while (running_ < slots() && !waiting_.empty()) {
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
    run_command(
        loop_, std::move(first.command),
        [self = shared_from_this(), done = std::move(first.done)](Expected<CommandResult> result) {
          --self->running_;
          done(std::move(result));
          self->next();
        });
  }
}

void PodmanCli::run_aside(Command command, std::function<void(Expected<CommandResult>)> done) {
  run_command(loop_, std::move(command), std::move(done));
}

void PodmanCli::run_ok(std::vector<std::string> arguments, std::string what, std::string on,
                       std::function<void(Expected<std::string>)> done) {
  run(command(std::move(arguments)), [what = std::move(what), on = std::move(on),
                                      done = std::move(done)](Expected<CommandResult> result) {
    if (!result) return done(fail(std::move(result.error()).wrap(what, on)));
    if (result->status != ExitStatus{Exited{0}}) {
      return done(fail(podman_error(what, on, result->status, result->err)));
    }
    done(std::move(result->out));
  });
}

}  // namespace ndc::runtime
