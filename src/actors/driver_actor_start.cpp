// From StartTask or RecoverTask to a task that runs, and the supervision of its actor.
#include "actors/driver_actor.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "model/container_name.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

// How often a start looks whether the attempt before it has come to an end.
constexpr std::chrono::milliseconds kPredecessorPause{200};

// The FIFOs of an attempt that no client knows of are held for the next one; after this time until
// another attempt is forgotten. A collector that sees their end then is started again by a client
// that comes back even later.
constexpr std::chrono::hours kForgottenLogs{1};
constexpr std::size_t kMaxForgotten = 256;  // tasks; each has up to four descriptors open

using HeldLogs = std::shared_ptr<const void>;

HeldLogs both(HeldLogs one, HeldLogs other) {
  if (!one || !other) return one ? one : other;
  return std::make_shared<const std::pair<HeldLogs, HeldLogs>>(std::move(one), std::move(other));
}

std::string task_key(const TaskIdentity& task) { return task.alloc_id + '/' + task.task_name; }

}  // namespace

TaskSeed DriverActor::seed_for(TaskIdentity identity) {
  TaskSeed seed;
  seed.identity = std::move(identity);
  seed.runtime = runtime_;
  seed.config = config_;
  seed.metrics = metrics_;
  seed.node = node_;
  seed.helpers = helpers_.of_tasks();
  seed.limits = limits_;
  seed.driver = caf::actor{self_};
  return seed;
}

std::optional<Error> DriverActor::refusal() const {
  if (stopping_) {
    return Error{.code = ErrorCode::kRuntimeUnavailable,
                 .what = "start task",
                 .cause = "the plugin is shutting down"};
  }
  if (!config_->enabled) {
    return Error{.code = ErrorCode::kInvalidConfig,
                 .what = "start task",
                 .cause = "the driver is disabled on this node",
                 .hint = "the operator can set enabled = true in the plugin's config"};
  }
  return std::nullopt;
}

// Nomad configures a plugin before it uses it; an embedding program may not.
Expected<void> DriverActor::ensure_runtime() {
  if (runtime_) return {};
  Expected<void> result;
  set_config({*config_, std::nullopt,
              Reply<Expected<void>>{[&result](auto answer) { result = std::move(*answer); }}});
  return result;
}

void DriverActor::start(const StartTask& m) {
  const std::string& id = m.spec->id;
  if (auto error = refusal()) {
    m.reply(fail(std::move(*error)));
    return;
  }
  if (!m.ticket) {
    if (starts_.full()) return (void)m.reply(fail(too_many("start task", id)));
    StartTask counted = m;
    counted.ticket = starts_.ticket();
    return start(counted);
  }
  if (auto ready = ensure_runtime(); !ready) {
    m.reply(fail(std::move(ready.error())));
    return;
  }
  if (id.empty() || tasks_.contains(id)) {
    m.reply(fail({.code = ErrorCode::kAlreadyExists,
                  .what = "start task",
                  .on = id,
                  .cause = id.empty() ? "it has no id" : "a task with this id exists already"}));
    return;
  }
  if (!m.spec->node_id.empty()) node_ids_.insert(m.spec->node_id);
  if (m.held_logs && m.reply.settled()) {
    // It waited for the attempt before it, and its client has gone. The next one asks anew.
    return keep_logs(task_key({id, m.spec->alloc_id, m.spec->name}), *m.held_logs);
  }
  if (waits_for_predecessor(m)) return;
  Entry& entry = tasks_[id];
  entry.seed = seed_for({id, m.spec->alloc_id, m.spec->name});
  entry.seed.spec = m.spec;
  entry.budget = limits_.budget();
  entry.starting = m.reply;
  entry.ticket = m.ticket;
  entry.held_logs = m.held_logs.value_or(nullptr);
  if (auto forgotten = forgotten_.extract(task_key(entry.seed.identity)); forgotten) {
    entry.held_logs = both(std::move(entry.held_logs), std::move(forgotten.mapped().logs));
  }
  crash_point("driver.start.entered");
  launch(entry);
}

// Nomad runs one attempt of a task at a time. Another one here is one that it has forgotten (the
// client was killed before it wrote down the handle), or that could not be removed. They share
// the container's name and files, so it goes first, and with it what it does to them.
bool DriverActor::waits_for_predecessor(const StartTask& m) {
  const TaskSpec& spec = *m.spec;
  const auto it = std::find_if(tasks_.begin(), tasks_.end(), [&spec](const auto& task) {
    const TaskIdentity& other = task.second.seed.identity;
    return !spec.alloc_id.empty() && other.alloc_id == spec.alloc_id &&
           other.task_name == spec.name && !task.second.removed;
  });
  if (it == tasks_.end()) return false;
  // First of all: one that still starts may be ended as soon as it has, as nobody waits for it.
  if (!m.held_logs) {
    hold_logs(m);
    return true;
  }
  const caf::actor me{self_};
  if (it->second.starting) {
    act::tell_after(me, kPredecessorPause, m);
    return true;
  }
  spdlog::warn("task {}: destroying its earlier attempt {} first", spec.id, it->first);
  destroy({it->first, true, Reply<Expected<void>>{[me, m](std::optional<Expected<void>> done) {
             if (done && *done) return act::tell(me, m);
             Error error = done ? done->error() : Error{};
             error.code = ErrorCode::kRuntimeUnavailable;
             m.reply(fail(std::move(error).wrap("remove the task's earlier attempt")));
           }}});
  return true;
}

// A collector whose FIFOs have no writer any more is at its end, and Nomad, which found it at
// work, starts no other one for the next attempt: between the two attempts we have them open.
void DriverActor::hold_logs(const StartTask& m) {
  const TaskSpec& spec = *m.spec;
  const auto holder = spawn_log_forwarder(self_, runtime_, {spec.stdout_path, spec.stderr_path},
                                          false, {}, {spec.id, spec.alloc_id, spec.name});
  const auto go_on = [me = caf::actor{self_}, m,
                      holder](std::optional<std::shared_ptr<const void>> held) {
    StartTask with_logs = m;
    with_logs.held_logs = held.value_or(nullptr);
    act::tell(me, std::move(with_logs));
    act::tell(holder, Stop{});
  };
  act::tell(holder, HoldLogs{Reply<std::shared_ptr<const void>>{go_on}});
}

// A client that was killed while it started a task does not know the handle, or has not written it
// down. Its successor looks after the collector first and then starts the task anew: were this
// attempt to end in between, by itself or by us, the collector would be at its end for good. So
// the FIFOs are held until a client has named the task, and beyond the attempt's end.
void DriverActor::known_to_client(const std::string& task_id) {
  if (const auto it = tasks_.find(task_id); it != tasks_.end()) it->second.held_logs.reset();
}

void DriverActor::keep_logs_of_forgotten(Entry& entry) {
  if (entry.seed.identity.alloc_id.empty()) return;
  keep_logs(task_key(entry.seed.identity), std::move(entry.held_logs));
}

void DriverActor::keep_logs(const std::string& task, HeldLogs logs) {
  if (!logs) return;
  ForgottenLogs& kept = forgotten_[task];
  kept = {both(std::move(kept.logs), std::move(logs)), std::chrono::steady_clock::now()};
  drop_old_logs();
}

void DriverActor::drop_old_logs() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(forgotten_,
                [now](const auto& held) { return now - held.second.since > kForgottenLogs; });
  if (forgotten_.size() <= kMaxForgotten) return;
  forgotten_.erase(std::min_element(
      forgotten_.begin(), forgotten_.end(),
      [](const auto& a, const auto& b) { return a.second.since < b.second.since; }));
}

// Of a task's actor that failed within a start the container may have gone already: the collector
// must not see their end before the next try has them open.
void DriverActor::logs_left(const LogsLeft& m) {
  const auto it = tasks_.find(m.task_id);
  if (it == tasks_.end() || !it->second.starting) return;
  it->second.left_logs = both(std::move(it->second.left_logs), m.logs);
}

void DriverActor::recover(const RecoverTask& m) {
  if (const auto known = tasks_.find(m.task_id); known != tasks_.end()) {
    Entry& entry = known->second;
    known_to_client(m.task_id);
    entry.recovered = entry.destroying;  // re-attached to a living plugin
    // It outlived its removal, and whoever asked for that is gone.
    if (!entry.exit) entry.removing = false;
    m.reply(Expected<void>{});
    return;
  }
  if (auto ready = ensure_runtime(); !ready) {
    m.reply(fail(std::move(ready.error())));
    return;
  }
  auto handle = decode_handle(m.driver_state);
  if (!handle) {
    m.reply(fail(std::move(handle.error())));
    return;
  }
  if (handle->task_id != m.task_id) {
    m.reply(fail({.code = ErrorCode::kInvalidConfig,
                  .what = "recover task",
                  .on = m.task_id,
                  .cause = "its handle belongs to task " + ndc::quoted(handle->task_id)}));
    return;
  }
  if (handle->runtime != runtime_->name()) {
    m.reply(fail({.code = ErrorCode::kInvalidConfig,
                  .what = "recover task",
                  .on = m.task_id,
                  .cause = "it was started with runtime " + ndc::quoted(handle->runtime) +
                           ", and the plugin now uses " + ndc::quoted(runtime_->name()),
                  .hint = "set runtime back until the task has ended"}));
    return;
  }
  if (recoveries_.full()) return (void)m.reply(fail(too_many("recover task", m.task_id)));
  if (!handle->node_id.empty()) node_ids_.insert(handle->node_id);
  Entry& entry = tasks_[m.task_id];
  entry.seed = seed_for({m.task_id, handle->alloc_id, handle->task_name});
  entry.seed.handle = std::move(*handle);
  entry.budget = limits_.budget();
  entry.recovering = recoveries_.counted(m.reply);
  crash_point("driver.recover.entered");
  launch(entry);
}

void DriverActor::launch(Entry& entry) {
  entry.seed.helpers = helpers_.of_tasks();
  entry.actor = spawn_task(self_, entry.seed);
  watch_(entry.actor, [this, id = entry.seed.identity.task_id](const caf::error& why) {
    task_actor_down(id, why);
  });
  // Nomad asks once: it forgets the task even if all that it got was the error of a lost message.
  if (entry.removing) {
    act::tell(entry.actor, DestroyTask{entry.seed.identity.task_id, true, {}});
  }
}

void DriverActor::task_actor_down(const std::string& id, const caf::error& why) {
  auto it = tasks_.find(id);
  if (it == tasks_.end() || !act::failed(why) || stopping_) return;
  Entry& entry = it->second;
  if (entry.budget.spend()) {
    spdlog::error("task {}: its actor failed and is restarted", id);
    metrics_->restarted("task actor");
    launch(entry);
    emit(entry, "Restarted helper: the task's actor failed; the task runs on");
    return;
  }
  spdlog::error("task {}: its actor failed too often", id);
  const std::string reason = "the driver's actor for the task failed too often";
  // Whatever Nomad does about the failed task, the container must not run on beside it.
  entry.seed.runtime->disown(entry.seed.handle ? entry.seed.handle->container.name
                                               : container_name(entry.seed.identity.task_name,
                                                                entry.seed.identity.alloc_id));
  act::tell(helpers_.reaper(), TaskAbandoned{id});
  if (entry.starting || entry.recovering) {
    start_failed(
        {id, {.code = ErrorCode::kInternal, .what = "run task", .on = id, .cause = reason}});
    return;
  }
  entry.abandoned = true;
  ended({id, TaskExit{UnknownExit{reason}, false, std::chrono::system_clock::now()}});
  // A later call, DestroyTask first of all, gets a fresh actor.
  entry.actor = nullptr;
  entry.budget = limits_.budget();
}

void DriverActor::running(const TaskRunning& m) {
  auto it = tasks_.find(m.task_id);
  if (it == tasks_.end()) return;
  Entry& entry = it->second;
  entry.seed.handle = m.handle;
  act::tell(helpers_.images(), ImageUsed{m.task_id, m.handle.image});
  if (entry.starting) {
    crash_point("driver.start.answering");
    const bool told = (*entry.starting)(TaskStarted{encode_handle(m.handle), m.handle.network});
    crash_point("driver.start.answered");
    entry.starting.reset();
    const bool known = std::any_of(entry.waiting.begin(), entry.waiting.end(),
                                   [](const auto& reply) { return !reply.settled(); });
    entry.held_logs = known ? nullptr : m.held_logs;
    entry.left_logs.reset();
    entry.ticket.reset();
    entry.seed.spec.reset();  // with its environment: the handle is enough from here on
    if (!told) {
      // The client is gone. Its successor does not know the handle, and will not ask.
      spdlog::warn("task {}: nobody waits for its start any more: ending it", m.task_id);
      destroy({m.task_id, true, {}});
      return;
    }
  }
  if (entry.recovering) {
    (*entry.recovering)(Expected<void>{});
    crash_point("driver.recover.answered");
    entry.recovering.reset();
  }
}

void DriverActor::start_failed(const TaskStartFailed& m) {
  const auto it = tasks_.find(m.task_id);
  if (it == tasks_.end()) return;
  if (it->second.exit) {
    // Its actor was restarted after the task's end and finds no container any more. Everybody who
    // waited has been told; whoever has not asked for the removal is yet to ask how it ended.
    forget(m.task_id, it->second.recovered || !it->second.destroying);
    return;
  }
  auto node = tasks_.extract(it);
  Entry& entry = node.mapped();
  if (entry.starting && !(*entry.starting)(fail(m.error))) {
    entry.held_logs = both(std::move(entry.held_logs), m.held_logs);
    entry.held_logs = both(std::move(entry.held_logs), std::move(entry.left_logs));
    keep_logs_of_forgotten(entry);
  }
  if (entry.recovering) (*entry.recovering)(fail(m.error));
  for (const auto& reply : entry.waiting) reply(fail(m.error));
  act::tell(helpers_.images(), ImageReleased{m.task_id});
  end_streams(entry, m.error);
}

}  // namespace ndc::actors
