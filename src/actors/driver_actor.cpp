#include "actors/driver_actor.hpp"

#include <spdlog/spdlog.h>

#include "model/duration.hpp"
#include "model/labels.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {

namespace {

// "For ever" is a time that sums can be made of.
PluginConfig bounded(PluginConfig config) {
  for (auto* time :
       {&config.command_timeout, &config.image_pull_timeout, &config.image_pull_stall_timeout,
        &config.pull_activity_interval, &config.gc.image_delay,
        &config.gc.dangling_containers.period, &config.gc.dangling_containers.creation_grace}) {
    *time = bounded_wait(*time);
  }
  return config;
}

bool concerns_tasks(HelperActors::Kind kind) {
  using enum HelperActors::Kind;
  return kind != kFingerprint && kind != kReaper;
}

}  // namespace

DriverActor::DriverActor(act::Self self, DriverOptions options)
    : self_{self},
      watch_{self},
      options_{std::move(options)},
      metrics_{options_.metrics ? options_.metrics : std::make_shared<Metrics>()},
      limits_{options_.max_restarts, options_.restart_window},
      config_{std::make_shared<const PluginConfig>()},
      helpers_{self,
               watch_,
               {options_.fingerprint_interval, limits_, metrics_,
                [this](HelperActors::Kind kind, const char* what) { helper_restarted(kind, what); },
                [this](HelperActors::Kind kind, const char* what) { helper_paused(kind, what); }}} {
}

DriverActor::~DriverActor() {
  if (!stopping_ && options_.failed) options_.failed();
  for (auto& [id, entry] : tasks_) act::tell(entry.actor, Stop{});
  for (auto& [id, entry] : tasks_) end_streams(entry, {});
}

caf::behavior DriverActor::make_behavior() {
  helpers_.start();
  return {
      [this](const SetConfig& m) { set_config(m); },
      [this](const GetCapabilities& m) {
        m.reply(DriverCapabilities{true, true, config_->disable_log_collection});
      },
      [this](const WatchFingerprint& m) { helpers_.watch_fingerprint(m); },
      [this](const WatchEvents& m) { helpers_.watch_events(m); },
      [this](const StartTask& m) { start(m); },
      [this](const RecoverTask& m) { recover(m); },
      [this](const WaitTask& m) { wait(m); },
      [this](const StopTask& m) { stop(m); },
      [this](const DestroyTask& m) {
        known_to_client(m.task_id);
        destroy(m);
      },
      [this](const InspectTask& m) { pass_on(m); },
      [this](const SignalTask& m) { pass_on(m); },
      [this](const ExecTask& m) { pass_on(m); },
      [this](const ExecTaskStreaming& m) { pass_on(m, &Entry::sessions); },
      [this](const WatchUsage& m) { watch_usage(m); },
      [this](const TaskRunning& m) { running(m); },
      [this](const TaskStartFailed& m) { start_failed(m); },
      [this](const TaskEnded& m) { ended(m); },
      [this](const TaskDestroyed& m) { destroyed(m); },
      [this](const LogsLeft& m) { logs_left(m); },
      [this](const FindDangling& m) { find_dangling(m); },
      [this](const RestartHelper& m) { helpers_.restart(m); },
      [this](const Shutdown& m) { shutdown(m); },
  };
}

// --- configuration and helpers ------------------------------------------------------------------

void DriverActor::set_config(const SetConfig& m) {
  const PluginConfig config = bounded(m.config);
  if (m.node) node_ = *m.node;
  if (runtime_ && config == *config_) {
    // The same may have come just to be validated before.
    m.reply(m.node ? serve_metrics(m.config.metrics_address) : Expected<void>{});
    return;
  }
  auto made = options_.make_runtime(config);
  if (!made) {
    m.reply(fail(std::move(made.error())));
    return;
  }
  if (m.node) {
    if (auto served = serve_metrics(m.config.metrics_address); !served) {
      m.reply(std::move(served));
      return;
    }
  }
  // Tasks that run keep the runtime they were started with.
  runtime_ = std::move(*made);
  config_ = std::make_shared<const PluginConfig>(config);
  runtime_->on_call([metrics = metrics_](const runtime::EngineCall& call) {
    metrics->runtime_call(call.name, call.outcome, call.took);
  });
  helpers_.use(runtime_, config_);
  m.reply(Expected<void>{});
}

Expected<void> DriverActor::serve_metrics(const std::string& address) {
  if (options_.serve_metrics) return options_.serve_metrics(address);
  if (address.empty()) return {};
  return fail({.code = ErrorCode::kUnsupported,
               .what = "use setting",
               .on = "metrics_address",
               .cause = "this program serves no metrics",
               .hint = "remove it"});
}

void DriverActor::helper_restarted(HelperActors::Kind kind, const char* what) {
  using Kind = HelperActors::Kind;
  for (auto& [id, entry] : tasks_) {
    if (kind == Kind::kImages && entry.seed.handle && !entry.removed) {
      if (entry.image_news.spend(act::now(self_))) {
        act::tell(helpers_.images(), ImageUsed{id, entry.seed.handle->image});
      } else {
        spdlog::error("task {}: the image actor is not told of its image any more", id);
      }
    }
    // Again, as it is not known how far the one that failed has come.
    if (kind == Kind::kReaper && entry.abandoned) act::tell(helpers_.reaper(), TaskAbandoned{id});
    entry.seed.helpers = helpers_.of_tasks();
    act::tell(entry.actor, UseHelpers{entry.seed.helpers});
    if (concerns_tasks(kind)) {
      emit(entry, std::string{"Restarted helper: the driver's "} + what + " failed");
    }
  }
}

void DriverActor::helper_paused(HelperActors::Kind kind, const char* what) {
  if (!concerns_tasks(kind)) return;
  for (const auto& [id, entry] : tasks_) {
    emit(entry, std::string{"Degraded: the driver's "} + what +
                    " failed too often and pauses for " +
                    format_duration(bounded_wait(limits_.window)));
  }
}

void DriverActor::emit(const Entry& entry, std::string message) {
  helpers_.emit(entry.seed.identity, std::move(message));
}

// --- a task that has started --------------------------------------------------------------------

void DriverActor::stop(const StopTask& m) {
  const auto it = tasks_.find(m.task_id);
  if (it == tasks_.end() || !it->second.removed) return pass_on(m, &Entry::stops);
  m.reply(Expected<void>{});  // it is as stopped as can be
}

void DriverActor::destroy(const DestroyTask& m) {
  const auto it = tasks_.find(m.task_id);
  if (it != tasks_.end()) {
    Entry& entry = it->second;
    entry.destroying = true;
    entry.recovered = false;
    if (entry.removed) {
      tasks_.erase(it);
      m.reply(Expected<void>{});
      return;
    }
    // As the task's actor sees it: not during the start, and only by force before the end.
    if (!entry.stops.full() && !entry.starting && (m.force || entry.exit)) entry.removing = true;
  }
  pass_on(m, &Entry::stops);
}

void DriverActor::destroyed(const TaskDestroyed& m) {
  // The client that asked for this may be gone, and its successor, which has been told that the
  // task is there, is about to ask how it ended.
  const auto it = tasks_.find(m.task_id);
  forget(m.task_id, it != tasks_.end() && it->second.recovered);
}

// There is nothing left of the task but, for whoever is about to ask, how it ended.
void DriverActor::forget(const std::string& task_id, bool exit_is_wanted) {
  const auto it = tasks_.find(task_id);
  if (it != tasks_.end()) keep_logs_of_forgotten(it->second);
  if (it != tasks_.end() && exit_is_wanted && it->second.exit) {
    it->second.removed = true;
    it->second.actor = {};
  } else {
    tasks_.erase(task_id);
  }
  crash_point("driver.destroy.forgotten");
  act::tell(helpers_.images(), ImageReleased{task_id});
}

// Only this client's: another agent on the same host has another node id. Before a task has told
// it, nobody knows ours.
void DriverActor::find_dangling(const FindDangling& m) {
  drop_old_logs();  // it comes every few minutes
  DanglingFound out;
  for (const runtime::FoundContainer& found : m.containers) {
    // Where a removal was cut off there may be files left that are nobody's any more.
    if (found.container.id.empty() && found.labels.empty()) {
      out.containers.push_back(found);
      continue;
    }
    const auto node = found.labels.find(kLabelNodeId);
    const auto task = found.labels.find(kLabelTaskId);
    if (node == found.labels.end() || task == found.labels.end()) continue;
    if (!node_ids_.contains(node->second) || has_attempt(task->second)) continue;
    out.containers.push_back(found);
  }
  if (!out.containers.empty()) act::tell(helpers_.reaper(), std::move(out));
}

// Of the same task. What an earlier attempt left has the same name: the start deals with it, and
// would fail if it were removed under its hands.
bool DriverActor::has_attempt(const std::string& task_id) const {
  const std::string task = task_id.substr(0, task_id.rfind('/') + 1);  // "<allocation>/<name>/"
  const auto found = tasks_.lower_bound(task);
  return tasks_.contains(task_id) ||
         (!task.empty() && found != tasks_.end() && found->first.starts_with(task));
}

void DriverActor::wait(const WaitTask& m) {
  known_to_client(m.task_id);
  auto it = tasks_.find(m.task_id);
  if (it == tasks_.end()) {
    m.reply(fail(not_found(m.task_id)));
  } else if (it->second.exit) {
    m.reply(*it->second.exit);
  } else {
    std::erase_if(it->second.waiting, [](const auto& reply) { return reply.settled(); });
    if (it->second.waiting.size() >= kMaxWaiters) {
      m.reply(fail(too_many("wait for task", m.task_id)));
      return;
    }
    it->second.waiting.push_back(m.reply);
  }
}

void DriverActor::ended(const TaskEnded& m) {
  auto it = tasks_.find(m.task_id);
  if (it == tasks_.end()) return;
  Entry& entry = it->second;
  if (!entry.exit) entry.exit = m.exit;
  crash_point("driver.exit.answering");
  for (const auto& reply : std::exchange(entry.waiting, {})) reply(*entry.exit);
  crash_point("driver.exit.answered");
  end_streams(entry, {});
}

void DriverActor::watch_usage(const WatchUsage& m) {
  auto it = tasks_.find(m.task_id);
  if (it == tasks_.end()) {
    m.stream->end(not_found(m.task_id));
    return;
  }
  if (it->second.exit) {
    m.stream->end(std::nullopt);
    return;
  }
  auto& usage = it->second.seed.usage;
  std::erase_if(usage, [](const WatchUsage& watch) { return watch.stream->closed(); });
  if (usage.size() >= kMaxStreams) {
    m.stream->end(too_many("watch usage of task", m.task_id));
    return;
  }
  usage.push_back(m);
  act::tell(it->second.actor, m);
}

// --- the end ------------------------------------------------------------------------------------

void DriverActor::shutdown(const Shutdown& m) {
  stopping_ = true;
  helpers_.let_end();
  m.reply(true);
  self_->quit();  // the destructor stops everything below; open replies answer by themselves
}

caf::actor spawn_driver(caf::actor_system& system, DriverOptions options) {
  return system.spawn<act::Host<DriverActor>>(std::move(options));
}

}  // namespace ndc::actors
