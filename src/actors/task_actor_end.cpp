// How a task ends: its exit, the ladder of a stop, its removal.
#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/task_actor.hpp"
#include "model/signals.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/ended_already.hpp"

namespace ndc::actors {
namespace {

using namespace std::chrono_literals;

// A killed process is gone within milliseconds; past this something is wrong with it (stuck in the
// kernel) or with the engine, and the next step follows.
constexpr std::chrono::nanoseconds kKillPatience = 5s;

// Longest that a task's end waits for the collector to have its last bytes. A route gives up by
// itself when the collector takes nothing for some seconds.
constexpr std::chrono::nanoseconds kDrainPatience = 10min;

constexpr std::chrono::seconds kLongestRemovalPause = 30s;

}  // namespace

void TaskActor::container_exited(const TaskExit& exit) {
  exit_ = exit;
  if (!alive()) return;  // remembered until the start or the recovery is complete
  enter(State::kExited, describe(exit));
  crash_point("task.exit.seen");
  if (exit.oom_killed) emit("Killed by the kernel: out of memory");
  if (!exit.note.empty()) emit(exit.note);
  ++stopping_.generation;
  act::tell(stats_, Stop{});
  act::tell_after(caf::actor{self_}, kDrainPatience, DrainTimer{});
  finish_logs();
}

void TaskActor::logs_drained() {
  if (state_ != State::kExited || drained_) return;
  drained_ = true;
  crash_point("task.exit.drained");
  act::tell(seed_.driver, TaskEnded{seed_.identity.task_id, *exit_});
  for (const auto& reply : std::exchange(stopping_.replies, {})) reply(Expected<void>{});
  if (!destroying_.empty()) remove_container();
}

void TaskActor::stop(const StopTask& m) {
  if (state_ == State::kExited || state_ == State::kDestroying) {
    m.reply(Expected<void>{});
    return;
  }
  if (state_ == State::kRecovering) {
    stops_in_recovery_.push_back(m);
    return;
  }
  if (!alive()) {
    m.reply(fail(wrong_state("stop task")));
    return;
  }
  int number = seed_.handle->stop_signal;
  if (!m.signal.empty()) {
    auto parsed = signal_number(m.signal);
    if (!parsed) {
      m.reply(fail(std::move(parsed.error())));
      return;
    }
    number = *parsed;
  }
  stopping_.replies.push_back(m.reply);
  if (state_ == State::kStopping) return;
  enter(State::kStopping, "StopTask");
  crash_point("task.stop.asked");
  begin_stop(StopStep::kSignalled, number, m.timeout);
  crash_point("task.stop.signalled");
}

void TaskActor::begin_stop(StopStep step, int signal, std::chrono::nanoseconds patience) {
  const auto report = [id = seed_.identity.task_id](const Expected<void>& done) {
    // One that has ended by itself is what a stop wants.
    if (done || runtime::ended_already(done.error())) return;
    spdlog::warn("task {}: {}", id, done.error().message());
  };
  stopping_.step = step;
  switch (step) {
    case StopStep::kSignalled:
      emit("Sent " + signal_name(signal));
      seed_.runtime->signal(container(), signal, report);
      break;
    case StopStep::kStopped:
      emit("Sent SIGKILL");
      seed_.runtime->stop(container(), report);
      break;
    case StopStep::kKilled:
      emit("Still alive: sent SIGKILL to its first process");
      seed_.runtime->signal(container(), signal, report);
      break;
    case StopStep::kRemoved:
      emit("Still alive: removing the container by force");
      seed_.runtime->remove(container(), false, report);
      break;
  }
  act::tell_after(caf::actor{self_}, patience, StopTimer{++stopping_.generation});
}

void TaskActor::stop_timer(std::uint64_t generation) {
  if (state_ != State::kStopping || generation != stopping_.generation) return;
  switch (stopping_.step) {
    case StopStep::kSignalled:
      begin_stop(StopStep::kStopped, kSigKill, kKillPatience);
      crash_point("task.stop.killed");
      return;
    case StopStep::kStopped:
      begin_stop(StopStep::kKilled, kSigKill, seed_.config->command_timeout + kKillPatience);
      return;
    case StopStep::kKilled:
      begin_stop(StopStep::kRemoved, kSigKill, seed_.config->command_timeout + kKillPatience);
      return;
    case StopStep::kRemoved:
      break;
  }
  const Error error{.code = ErrorCode::kTimeout,
                    .what = "stop container",
                    .on = container().name,
                    .cause = "it outlived SIGKILL and a forced removal",
                    .hint = "look at it on the node; the stop will be tried again"};
  enter(State::kRunning, "the stop failed");
  for (const auto& reply : std::exchange(stopping_.replies, {})) reply(fail(error));
  const auto destroying = std::exchange(destroying_, {});
  for (const auto& reply : destroying) reply(fail(error));
  if (!destroying.empty()) destroy_later();
}

// Nomad asks once and forgets the task; the container must not stay for that.
void TaskActor::destroy_later() {
  const auto pause = std::min(kLongestRemovalPause, 1s * (1 << std::min(removal_tries_++, 5)));
  act::tell_after(caf::actor{self_}, pause, DestroyTask{seed_.identity.task_id, true, {}});
}

void TaskActor::destroy(const DestroyTask& m) {
  switch (state_) {
    case State::kPreparing:
    case State::kCreating:
      m.reply(fail(wrong_state("destroy task")));
      return;
    case State::kRecovering:
      destroys_in_recovery_.push_back(m);
      return;
    case State::kRunning:
    case State::kStopping:
      if (!m.force) {
        m.reply(fail(wrong_state("destroy task")));
        return;
      }
      destroying_.push_back(m.reply);
      if (state_ == State::kStopping && stopping_.step != StopStep::kSignalled) return;
      enter(State::kStopping, "forced DestroyTask");
      begin_stop(StopStep::kStopped, kSigKill, kKillPatience);
      return;
    case State::kExited:
      destroying_.push_back(m.reply);
      if (drained_) remove_container();
      return;
    case State::kDestroying:
      destroying_.push_back(m.reply);
      return;
  }
}

void TaskActor::remove_container() {
  enter(State::kDestroying, "DestroyTask");
  crash_point("task.destroy.removing");
  seed_.runtime->remove(container(), !seed_.config->gc.container,
                        [me = caf::actor{self_}](auto result) {
                          act::tell(me, ContainerRemoved{std::move(result)});
                        });
}

void TaskActor::container_removed(const Expected<void>& result) {
  if (state_ != State::kDestroying) return;
  crash_point("task.destroy.removed");
  // First the driver forgets the task: who is answered may start the next attempt at once.
  if (result) act::tell(seed_.driver, TaskDestroyed{seed_.identity.task_id});
  for (const auto& reply : std::exchange(destroying_, {})) reply(result);
  if (!result) {
    enter(State::kExited, "the removal failed");
    return destroy_later();
  }
  self_->quit();
}

}  // namespace ndc::actors
