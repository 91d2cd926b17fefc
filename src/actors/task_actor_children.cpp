// The two children of a task's actor, each restarted alone, and what happens where one stays off.
#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/task_actor.hpp"

namespace ndc::actors {
namespace {

using namespace std::chrono_literals;

// Between two tries to open a log that cannot be opened.
constexpr std::chrono::seconds kLongestOpenPause = 30s;

// With the pauses between them half a minute: by then there are descriptors again, or never.
constexpr int kOpenTriesAtEnd = 5;

}  // namespace

void TaskActor::use_helpers(const UseHelpers& m) {
  seed_.helpers = m.helpers;
  act::tell(stats_, m);
  // One that is away for a while has not come back because another helper has.
  // A request that was lost at once waits for its turn.
  if (seed_.helpers.images != image_actor_ && image_crashes_ == 0) request_lost_image();
}

// Counts a failure of a child and tells the user; false if it is one too many.
bool TaskActor::may_restart(const std::string& child, RestartBudget& budget) {
  seed_.metrics->restarted(child);
  const bool may = budget.spend();
  emit(may ? "Restarted the task's " + child + " after a failure"
           : "Degraded: the task's " + child + " failed too often and stays off");
  return may;
}

// --- usage ---------------------------------------------------------------------------------------

void TaskActor::start_stats() {
  stats_ =
      spawn_stats(self_, seed_.node, seed_.helpers.sampler,
                  seed_.config->metrics_address.empty() ? nullptr : seed_.metrics, seed_.identity);
  watch_(stats_, [this](const caf::error& why) {
    if (act::failed(why)) stats_lost();
  });
  act::tell(stats_, SampleContainer{container()});
  for (const WatchUsage& watch : seed_.usage) act::tell(stats_, watch);
}

void TaskActor::stats_lost() {
  stats_ = nullptr;
  if (exit_) return;  // there is nothing left to measure
  if (may_restart("stats", stats_restarts_)) start_stats();
}

// --- logs ----------------------------------------------------------------------------------------

// Without collectors Nomad still names their FIFOs, but there are none.
runtime::LogPaths TaskActor::log_paths() const {
  if (seed_.handle) return {seed_.handle->stdout_path, seed_.handle->stderr_path};
  if (seed_.config->disable_log_collection) return {"/dev/null", "/dev/null"};
  return {seed_.spec->stdout_path, seed_.spec->stderr_path};
}

void TaskActor::start_log_forwarder() {
  const bool tty = seed_.handle ? seed_.handle->tty : config_->tty;
  log_forwarder_ = spawn_log_forwarder(self_, seed_.runtime, log_paths(), tty, caf::actor{self_},
                                       seed_.identity);
  watch_(log_forwarder_, [this](const caf::error& why) {
    if (act::failed(why)) log_forwarder_lost();
  });
  act::tell(log_forwarder_, OpenLogs{});
  // At once: the news of an exit may be faster than that of the open route, and what a recovered
  // task wrote while there was no plugin is yet to be delivered.
  if (seed_.handle) act::tell(log_forwarder_, FollowLogs{container()});
  if (state_ == State::kExited) finish_logs();
}

// The end of the task waits for its logs: until they are delivered there is a successor, and where
// there is none any more this actor ends the route itself.
void TaskActor::log_forwarder_lost() {
  log_forwarder_ = nullptr;
  if (drained_) return;
  if (may_restart("log forwarder", log_restarts_)) return start_log_forwarder();
  if (state_ == State::kPreparing) {  // which waits for the log route
    start_failed({.code = ErrorCode::kInternal,
                  .what = "open logs of task",
                  .on = seed_.identity.task_id,
                  .cause = "its log forwarder failed too often"});
  }
  if (state_ == State::kExited) finish_logs();
}

// A task that runs holds the FIFOs itself, or its log waits elsewhere: nothing is lost yet, and
// they are opened again until its end has waited for them long enough.
void TaskActor::logs_unopened(const Error& error) {
  if (drained_) return;
  if (state_ == State::kPreparing) return start_failed(error);
  spdlog::warn("task {}: {}", seed_.identity.task_id, error.message());
  if (open_tries_ == 0)
    emit("Degraded: the task's log cannot be delivered yet: " + error.message());
  if (state_ == State::kExited && logs_) return finish_route();
  if (state_ == State::kExited && open_tries_ >= kOpenTriesAtEnd) return logs_drained();
  const auto pause = std::min(kLongestOpenPause, 1s * (1 << std::min(open_tries_++, 5)));
  act::tell_after(caf::actor{self_}, pause, ReopenLogs{});
}

void TaskActor::reopen_logs() {
  if (drained_ || !log_forwarder_) return;
  if (state_ == State::kExited) return finish_logs();
  act::tell(log_forwarder_, OpenLogs{});
}

void TaskActor::finish_logs() {
  // A route that gives way to a successor's is at its end before everything is delivered: only the
  // answer to the last request counts.
  ++drain_;
  if (log_forwarder_) return act::tell(log_forwarder_, FinishLogs{drain_});
  finish_route();
}

// The one that was opened last, by a forwarder that has none any more or is gone.
void TaskActor::finish_route() {
  ++drain_;
  if (!logs_) return logs_drained();  // there never was a route
  logs_->finish(
      [me = caf::actor{self_}, generation = drain_] { act::tell(me, LogsDrained{generation}); });
}

}  // namespace ndc::actors
