// How a task is found again after a restart of the plugin, or of its own actor.
#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/task_actor.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kLongestReattachPause = 30s;

}  // namespace

void TaskActor::attach() {
  attaching_ = true;
  crash_point("task.recover.attaching");
  const auto me = caf::actor{self_};
  seed_.runtime->attach(
      container(), [me](TaskExit exit) { act::tell(me, ContainerExited{std::move(exit)}); },
      [me](auto result) { act::tell(me, ContainerAttached{std::move(result)}); });
}

void TaskActor::container_attached(const Expected<runtime::Attached>& result) {
  if (!attaching_ || exit_) return;
  attaching_ = false;
  crash_point("task.recover.attached");
  if (!result) {
    still_unattached(result.error());
    return;
  }
  const auto* exit = std::get_if<TaskExit>(&*result);
  if (state_ == State::kRecovering) {
    if (exit) exit_ = *exit;  // known to the commands that have waited: none kills what has ended
    recovered("found again");
  } else if (exit) {
    container_exited(*exit);
  }
}

// Nomad waits for nobody else while it restores a task: the answer is that it is there, until
// something else is known.
void TaskActor::recover_timer() {
  if (state_ == State::kRecovering) {
    recovered(std::string{seed_.runtime->name()} + " has not answered yet");
  }
}

void TaskActor::recovered(const std::string& why) {
  enter(State::kRunning, why);
  start_stats();
  act::tell(seed_.driver, TaskRunning{seed_.identity.task_id, *seed_.handle});
  if (exit_) container_exited(*exit_);
  for (const StopTask& m : std::exchange(stops_in_recovery_, {})) stop(m);
  for (const DestroyTask& m : std::exchange(destroys_in_recovery_, {})) destroy(m);
}

void TaskActor::still_unattached(const Error& error) {
  const bool gone = error.code == ErrorCode::kContainerGone;
  if (gone) {
    crash_point("task.recover.gone");
    // Whatever Nomad does now, what files it left are nobody's.
    seed_.runtime->remove(container(), false, [id = seed_.identity.task_id](auto removed) {
      if (!removed) spdlog::warn("task {}: {}", id, removed.error().message());
    });
  }
  // Nomad gives up a task that cannot be recovered. Only a handle that leads to no container at all
  // is hopeless: what else is wrong, with the engine or with us, says nothing about the task.
  const bool hopeless = error.code == ErrorCode::kInvalidConfig;
  if (state_ == State::kRecovering && (gone || hopeless)) {
    // First the driver forgets the task: who is answered may start the next attempt at once.
    start_failed(error);
    // A container that is gone is as stopped and as destroyed as can be.
    const auto answer = gone ? Expected<void>{} : Expected<void>{fail(error)};
    for (const auto& m : std::exchange(stops_in_recovery_, {})) m.reply(answer);
    for (const auto& m : std::exchange(destroys_in_recovery_, {})) m.reply(answer);
    return;
  }
  if (gone) {
    if (state_ == State::kRecovering) recovered("the container is gone");
    container_exited({UnknownExit{"the container was removed behind the driver's back"}, false,
                      std::chrono::system_clock::now()});
    return;
  }
  // An engine that cannot be asked says nothing about the task: it is asked again.
  spdlog::warn("task {}: {}", seed_.identity.task_id, error.message());
  if (attach_tries_ == 0) {
    emit("Degraded: " + std::string{seed_.runtime->name()} +
         " cannot be asked about the container; it is followed as soon as it can");
  }
  const auto pause = std::min(kLongestReattachPause, 1s * (1 << std::min(attach_tries_++, 5)));
  act::tell_after(caf::actor{self_}, pause, Reattach{});
}

}  // namespace ndc::actors
