#include "runtime/podman_cli.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "runtime/child.hpp"
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

// A stat(2) or a few: podman itself is not started to learn that it is there.
constexpr std::chrono::seconds kLookInterval{2};

std::string identity_of(const std::string& program) {
  const auto file = resolve_program({program}, podman_cli_environment());
  if (!file) return {};
  struct stat info {};
  if (::stat(file->c_str(), &info) != 0) return {};
  return *file + " " + std::to_string(info.st_dev) + " " + std::to_string(info.st_ino) + " " +
         std::to_string(info.st_mtime) + " " + std::to_string(info.st_mode);
}

}  // namespace

std::vector<std::string> podman_cli_environment() {
  return child_environment(
      {"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME",
       "DBUS_SESSION_BUS_ADDRESS", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "SSL_CERT_FILE",
       "SSL_CERT_DIR", "STORAGE_DRIVER", "STORAGE_OPTS", "LD_LIBRARY_PATH",  //
       "GOGC", "GODEBUG", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"},
      {"CONTAINERS_", "_CONTAINERS_", "LIBPOD_", "NETAVARK_"});
}

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
  out.environment = podman_cli_environment();
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
    auto timed_done = timed(first.command.argv, call_sink_, std::move(first.done));
    run_command(
        loop_, std::move(first.command),
        [self = shared_from_this(), done = std::move(timed_done)](Expected<CommandResult> result) {
          --self->running_;
          self->judge(result);
          done(std::move(result));
          self->next();
        });
  }
}

void PodmanCli::run_aside(Command command, std::function<void(Expected<CommandResult>)> done) {
  auto timed_done = timed(command.argv, call_sink_, std::move(done));
  command.ends_with_loop = true;
  run_command(loop_, std::move(command), std::move(timed_done));
}

void PodmanCli::judge(const Expected<CommandResult>& result) const {
  if (!doubt_) return;
  if (!result || !std::holds_alternative<Exited>(result->status)) doubt_();
}

void PodmanCli::on_doubt(std::function<void()> doubt) {
  doubt_ = std::move(doubt);
  program_seen_ = identity_of(program_);
  look_at_program();
}

void PodmanCli::look_at_program() {
  look_ = loop_.after(kLookInterval, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || !self->doubt_) return;
    std::string now = identity_of(self->program_);
    if (now != self->program_seen_) {
      self->program_seen_ = std::move(now);
      self->doubt_();
    }
    self->look_at_program();
  });
}

void PodmanCli::run_ok(std::vector<std::string> arguments, std::string what, std::string on,
                       std::function<void(Expected<std::string>)> done) {
  run_ok(command(std::move(arguments)), std::move(what), std::move(on), std::move(done));
}

void PodmanCli::run_ok(Command command, std::string what, std::string on,
                       std::function<void(Expected<std::string>)> done) {
  run(std::move(command), [what = std::move(what), on = std::move(on),
                           done = std::move(done)](Expected<CommandResult> result) {
    if (!result) return done(fail(std::move(result.error()).wrap(what, on)));
    if (result->status != ExitStatus{Exited{0}}) {
      return done(fail(podman_error(what, on, result->status, result->err)));
    }
    done(std::move(result->out));
  });
}

}  // namespace ndc::runtime
