// What waits in the spools: processes that hand over what a killed monitor left there, what is told
// where none can, and what becomes of it when the task is removed.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/error.hpp"
#include "runtime/apple_watch.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

// How often the rest of a killed monitor's output is handed to a new process.
constexpr int kRests = 3;

// How often a process that is to deliver is started anew after it could not be, and the first pause
// between: all of it is over before the task's end is told without the rest of its output.
constexpr int kDeliverTries = 3;
constexpr auto kDeliverPause = 500ms;

// A process that is killed closes its socket a moment before its lock goes. One that has only hung
// up on us still has its lock after that.
constexpr auto kLockPause = 20ms;
constexpr int kLockLooks = 100;

// A monitor that is told to quit ends within milliseconds, or when it has written a large spool
// anew.
constexpr int kEndLooks = 150;

std::string why_not_launched(const Expected<CommandResult>& result) {
  if (!result) return result.error().message();
  const std::string said = valid_utf8(result->err.substr(0, result->err.find('\n')));
  return said.empty() ? describe(TaskExit{result->status, false, {}}) : said;
}

// The timer is nobody's: neither a second removal nor a start of that name ends this one's wait.
void await_monitor_end(EventLoop& loop, const std::string& directory, int looks,
                       const std::function<void()>& gone) {
  if (looks == 0 || living_monitor(directory) == 0) return gone();
  auto timer = std::make_shared<std::shared_ptr<EventLoop::Timer>>();
  *timer = loop.after(kLockPause, [&loop, directory, looks, gone, timer] {
    await_monitor_end(loop, directory, looks - 1, gone);
  });
}

}  // namespace

void AppleWatch::delivered() {
  delivered_ = true;
  crash_point("apple.exit.delivered");
  for (const auto& done : std::exchange(when_delivered_, {})) done();
}

// The monitor may have been killed with output in its spool.
void AppleWatch::deliver_rest() {
  lock_timer_.reset();
  if (!logs_.stdout_path.empty() && rests_ < kRests) {
    if (living_monitor(files_.directory()) != 0 && lock_looks_++ < kLockLooks) {
      lock_timer_ = tools_.cli->loop().after(kLockPause, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->deliver_rest();
      });
      return;
    }
    ++rests_;
    deliver();
  }
  if (!delivering_) delivered();
}

void AppleWatch::when_delivered(std::function<void()> done) {
  const bool underway = link_ || delivering_ || lock_timer_ || phase_ == Phase::kConnecting;
  if (delivered_ || !underway) return done();
  when_delivered_.push_back(std::move(done));
}

void AppleWatch::when_degraded(std::function<void(Error)> told) {
  if (degraded_) return told(*degraded_);
  when_degraded_.push_back(std::move(told));
}

void AppleWatch::deliver_to(const LogPaths& paths, std::function<void(Error)> lost) {
  logs_ = paths;
  output_lost_ = std::move(lost);
  deliver();
}

std::optional<Error> spool_damage(const AppleFiles& files) {
  const std::string spools = damaged_spools(files.directory());
  if (spools.empty()) return std::nullopt;
  return Error{ErrorCode::kInternal,
               "deliver the log in",
               files.directory(),
               spools +
                   ": damaged, another user's, or of a newer version of the driver: the output "
                   "that waited there for Nomad's log collector is lost",
               {}};
}

// Once, and the other stream is delivered all the same.
void AppleWatch::tell_of_damaged_spools() {
  const auto error = spool_damage(files_);
  if (!error || std::exchange(damage_told_, true)) return;
  spdlog::warn("{}", error->message());
  if (output_lost_) output_lost_(*error);
}

// It stays where it is until the task is removed.
void AppleWatch::tell_of_undelivered(const std::string& why) {
  const std::uint64_t left = spooled(files_.directory());
  if (left == 0) return;
  const Error error{ErrorCode::kRuntimeUnavailable, "deliver the log in", files_.directory(),
                    std::to_string(left) +
                        " bytes wait for Nomad's log collector, and no process can be started that "
                        "hands them over (" +
                        why + "); " + fate_of_output(),
                    "see what the node lacks: processes, memory, or room for state_dir"};
  spdlog::warn("{}", error.message());
  if (output_lost_) output_lost_(error);
}

void AppleWatch::deliver() {
  if (logs_.stdout_path.empty() || delivering_) return;
  if (living_monitor(files_.directory()) != 0) return;
  tell_of_damaged_spools();
  if (!has_spooled(files_.directory())) return;
  delivered_ = false;
  delivering_ = true;
  deliver_tries_ = 0;
  launch_deliverer();
}

void AppleWatch::launch_deliverer() {
  deliver_timer_.reset();
  Command command =
      monitor_command(tools_.monitor_program, files_, logs_, MonitorStreams::kPipes, {});
  command.timeout = tools_.cli->timeout();
  run_command(tools_.cli->loop(), std::move(command),
              [weak = weak_from_this()](const Expected<CommandResult>& result) {
                if (const auto self = weak.lock()) self->deliverer_launched(result);
              });
  crash_point("apple.deliver.spawned");
}

void AppleWatch::deliverer_launched(const Expected<CommandResult>& result) {
  if (!delivering_) return;  // not wanted any more
  // One may be there although whoever launched it was killed.
  const bool there =
      (result && result->status == ExitStatus{Exited{0}}) || living_monitor(files_.directory()) > 0;
  if (!there && deliver_tries_ < kDeliverTries) {
    const auto pause = kDeliverPause * (1 << deliver_tries_++);
    deliver_timer_ = tools_.cli->loop().after(pause, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->launch_deliverer();
    });
    return;
  }
  delivering_ = false;
  if (!there) {
    tell_of_undelivered(why_not_launched(result));
    return delivered();
  }
  if (!link_) connect();
}

// --- the removal ---

// One whose CLI goes on has nothing but what is in the collector's FIFO.
bool AppleWatch::has_output() const {
  if (delivered_) return false;
  return has_spooled(files_.directory()) || read_exit_record(files_.directory());
}

std::string AppleWatch::fate_of_output() const {
  return tools_.keep_output ? "they are kept for the task's next attempt"
                            : "they go when the task is removed";
}

void AppleWatch::keep_output() {
  if (!tools_.keep_output || !has_output()) return;
  if (!link_ && living_monitor(files_.directory()) != 0) connect();
  if (link_) link_->send("keep");
}

void AppleWatch::dismiss(const std::function<void()>& gone) {
  const int looks = has_output() ? kEndLooks : 0;
  dismiss();
  await_monitor_end(tools_.cli->loop(), files_.directory(), looks, gone);
}

std::uint64_t remove_files(const AppleWatchTools& tools, const AppleFiles& files) {
  if (tools.keep_output) return files.remove_all_but_output();
  files.remove();
  return 0;
}

}  // namespace ndc::runtime
