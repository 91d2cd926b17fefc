// The root: the only actor that calls from outside reach. Keeps the table of tasks, supervises
// their actors, and holds everything that Nomad is waiting for, so that it outlives a crash of a
// task actor.

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "actors/gate.hpp"
#include "actors/helper_actors.hpp"
#include "actors/spawn.hpp"
#include "model/labels.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

// What callers may have open at a time. Nomad needs a handful of each.
constexpr long kMaxCommands = 256;         // signals, execs, inspections of one task
constexpr long kMaxStops = 64;             // StopTask and DestroyTask of one task
constexpr std::size_t kMaxWaiters = 1024;  // WaitTask of one task
// How often a start looks whether the attempt before it has come to an end.
constexpr std::chrono::milliseconds kPredecessorPause{200};

class DriverActor {
 public:
  static constexpr const char* name = "driver_actor";

  DriverActor(act::Self self, DriverOptions options)
      : self_{self},
        watch_{self},
        options_{std::move(options)},
        metrics_{options_.metrics ? options_.metrics : std::make_shared<Metrics>()},
        limits_{options_.max_restarts, options_.restart_window},
        config_{std::make_shared<const PluginConfig>()},
        helpers_{
            self,
            watch_,
            {options_.fingerprint_interval, limits_, metrics_,
             [this](HelperActors::Kind kind, const char* what) { helper_restarted(kind, what); }}} {
  }

  ~DriverActor() {
    if (!stopping_ && options_.failed) options_.failed();
    for (auto& [id, entry] : tasks_) act::tell(entry.actor, Stop{});
    for (auto& [id, entry] : tasks_) end_streams(entry, {});
  }
  DriverActor(const DriverActor&) = delete;
  DriverActor& operator=(const DriverActor&) = delete;

  caf::behavior make_behavior() {
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
        [this](const DestroyTask& m) { destroy(m); },
        [this](const InspectTask& m) { pass_on(m); },
        [this](const SignalTask& m) { pass_on(m); },
        [this](const ExecTask& m) { pass_on(m); },
        [this](const ExecTaskStreaming& m) { pass_on(m); },
        [this](const WatchUsage& m) { watch_usage(m); },
        [this](const TaskRunning& m) { running(m); },
        [this](const TaskStartFailed& m) { start_failed(m); },
        [this](const TaskEnded& m) { ended(m); },
        [this](const TaskDestroyed& m) { destroyed(m); },
        [this](const FindDangling& m) { find_dangling(m); },
        [this](const RestartHelper& m) { helpers_.restart(m); },
        [this](const Shutdown& m) { shutdown(m); },
    };
  }

 private:
  struct Entry {
    TaskSeed seed;
    caf::actor actor;
    RestartBudget budget;
    std::optional<Reply<Expected<TaskStarted>>> starting;
    std::shared_ptr<runtime::LogRoute> held_logs;  // until it has started
    std::optional<Reply<Expected<void>>> recovering;
    std::vector<Reply<Expected<TaskExit>>> waiting;
    std::optional<TaskExit> exit;
    bool destroying = false;  // DestroyTask was called
    bool recovered = false;   // after that, by another client
    bool removed = false;     // destroyed, but that client has not asked for its exit yet
    Gate commands{kMaxCommands};
    Gate stops{kMaxStops};
  };

  static Error not_found(const std::string& task_id) {
    return {.code = ErrorCode::kTaskNotFound,
            .what = "find task",
            .on = task_id,
            .cause = "no such task"};
  }

  // --- configuration and helpers ---

  void set_config(const SetConfig& m) {
    if (m.node) node_ = *m.node;
    if (runtime_ && m.config == *config_) {
      // The same may have come just to be validated before.
      m.reply(m.node ? serve_metrics(m.config.metrics_address) : Expected<void>{});
      return;
    }
    auto made = options_.make_runtime(m.config);
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
    config_ = std::make_shared<const PluginConfig>(m.config);
    runtime_->on_call([metrics = metrics_](const runtime::EngineCall& call) {
      metrics->runtime_call(call.name, call.outcome, call.took);
    });
    helpers_.use(runtime_, config_);
    m.reply(Expected<void>{});
  }

  Expected<void> serve_metrics(const std::string& address) {
    if (options_.serve_metrics) return options_.serve_metrics(address);
    if (address.empty()) return {};
    return fail({.code = ErrorCode::kUnsupported,
                 .what = "use setting",
                 .on = "metrics_address",
                 .cause = "this program serves no metrics",
                 .hint = "remove it"});
  }

  void helper_restarted(HelperActors::Kind kind, const char* what) {
    using Kind = HelperActors::Kind;
    for (auto& [id, entry] : tasks_) {
      if (kind == Kind::kImages && entry.seed.handle) {
        act::tell(helpers_.images(), ImageUsed{id, entry.seed.handle->image});
      }
      entry.seed.helpers = helpers_.of_tasks();
      act::tell(entry.actor, UseHelpers{entry.seed.helpers});
      // The other two are of no concern to a task.
      if (kind != Kind::kFingerprint && kind != Kind::kReaper) {
        emit(entry, std::string{"Restarted helper: the driver's "} + what + " failed");
      }
    }
  }

  void emit(const Entry& entry, std::string message) {
    helpers_.emit(entry.seed.identity, std::move(message));
  }

  // --- tasks ---

  TaskSeed seed_for(TaskIdentity identity) {
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

  // Why no task can be started now, if so.
  std::optional<Error> refusal() const {
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
  Expected<void> ensure_runtime() {
    if (runtime_) return {};
    Expected<void> result;
    set_config({*config_, std::nullopt,
                Reply<Expected<void>>{[&result](auto answer) { result = std::move(*answer); }}});
    return result;
  }

  void start(const StartTask& m) {
    const std::string& id = m.spec->id;
    if (auto error = refusal()) {
      m.reply(fail(std::move(*error)));
      return;
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
    if (waits_for_predecessor(m)) return;
    Entry& entry = tasks_[id];
    entry.seed = seed_for({id, m.spec->alloc_id, m.spec->name});
    entry.seed.spec = m.spec;
    entry.budget = limits_.budget();
    entry.starting = m.reply;
    entry.held_logs = m.held_logs.value_or(nullptr);
    crash_point("driver.start.entered");
    launch(entry);
  }

  // Nomad runs one attempt of a task at a time. Another one here is one that it has forgotten (the
  // client was killed before it wrote down the handle), or that could not be removed. They share
  // the container's name and files, so it goes first, and with it what it does to them.
  bool waits_for_predecessor(const StartTask& m) {
    const TaskSpec& spec = *m.spec;
    const auto it = std::find_if(tasks_.begin(), tasks_.end(), [&spec](const auto& task) {
      const TaskIdentity& other = task.second.seed.identity;
      return !spec.alloc_id.empty() && other.alloc_id == spec.alloc_id &&
             other.task_name == spec.name && !task.second.removed;
    });
    if (it == tasks_.end()) return false;
    const caf::actor me{self_};
    if (it->second.starting) {
      act::tell_after(me, kPredecessorPause, m);
      return true;
    }
    if (!m.held_logs) {
      hold_logs(m);
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
  void hold_logs(const StartTask& m) {
    const TaskSpec& spec = *m.spec;
    const auto holder = spawn_log_forwarder(self_, runtime_, {spec.stdout_path, spec.stderr_path},
                                            false, {}, {spec.id, spec.alloc_id, spec.name});
    const auto go_on = [me = caf::actor{self_}, m,
                        holder](std::optional<std::shared_ptr<runtime::LogRoute>> held) {
      StartTask with_logs = m;
      with_logs.held_logs = held.value_or(nullptr);
      act::tell(me, std::move(with_logs));
      act::tell(holder, Stop{});
    };
    act::tell(holder, HoldLogs{Reply<std::shared_ptr<runtime::LogRoute>>{go_on}});
  }

  void recover(const RecoverTask& m) {
    if (const auto known = tasks_.find(m.task_id); known != tasks_.end()) {
      known->second.recovered = known->second.destroying;  // re-attached to a living plugin
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
    if (!handle->node_id.empty()) node_ids_.insert(handle->node_id);
    Entry& entry = tasks_[m.task_id];
    entry.seed = seed_for({m.task_id, handle->alloc_id, handle->task_name});
    entry.seed.handle = std::move(*handle);
    entry.budget = limits_.budget();
    entry.recovering = m.reply;
    crash_point("driver.recover.entered");
    launch(entry);
  }

  void launch(Entry& entry) {
    entry.seed.helpers = helpers_.of_tasks();
    entry.actor = spawn_task(self_, entry.seed);
    watch_(entry.actor, [this, id = entry.seed.identity.task_id](const caf::error& why) {
      task_actor_down(id, why);
    });
  }

  void task_actor_down(const std::string& id, const caf::error& why) {
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
    act::tell(helpers_.reaper(), TaskAbandoned{id});
    if (entry.starting || entry.recovering) {
      start_failed(
          {id, {.code = ErrorCode::kInternal, .what = "run task", .on = id, .cause = reason}});
      return;
    }
    ended({id, TaskExit{UnknownExit{reason}, false, std::chrono::system_clock::now()}});
    // A later call, DestroyTask first of all, gets a fresh actor.
    entry.actor = nullptr;
    entry.budget = limits_.budget();
  }

  void running(const TaskRunning& m) {
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
      entry.held_logs.reset();
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

  void start_failed(const TaskStartFailed& m) {
    auto node = tasks_.extract(m.task_id);
    if (!node) return;
    Entry& entry = node.mapped();
    if (entry.starting) (*entry.starting)(fail(m.error));
    if (entry.recovering) (*entry.recovering)(fail(m.error));
    for (const auto& reply : entry.waiting) reply(fail(m.error));
    end_streams(entry, m.error);
  }

  void stop(const StopTask& m) {
    const auto it = tasks_.find(m.task_id);
    if (it == tasks_.end() || !it->second.removed) return pass_on(m, &Entry::stops);
    m.reply(Expected<void>{});  // it is as stopped as can be
  }

  void destroy(const DestroyTask& m) {
    const auto it = tasks_.find(m.task_id);
    if (it != tasks_.end()) {
      it->second.destroying = true;
      it->second.recovered = false;
      if (it->second.removed) {
        tasks_.erase(it);
        m.reply(Expected<void>{});
        return;
      }
    }
    pass_on(m, &Entry::stops);
  }

  void destroyed(const TaskDestroyed& m) {
    // The client that asked for this may be gone, and its successor, which has been told that the
    // task is there, is about to ask how it ended.
    const auto it = tasks_.find(m.task_id);
    if (it != tasks_.end() && it->second.recovered && it->second.exit) {
      it->second.removed = true;
      it->second.actor = {};
    } else {
      tasks_.erase(m.task_id);
    }
    crash_point("driver.destroy.forgotten");
    act::tell(helpers_.images(), ImageReleased{m.task_id});
  }

  // Only this client's: another agent on the same host has another node id. Before a task has told
  // it, nobody knows ours.
  void find_dangling(const FindDangling& m) {
    DanglingFound out;
    for (const runtime::FoundContainer& found : m.containers) {
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
  bool has_attempt(const std::string& task_id) const {
    const std::string task = task_id.substr(0, task_id.rfind('/') + 1);  // "<allocation>/<name>/"
    const auto found = tasks_.lower_bound(task);
    return tasks_.contains(task_id) ||
           (!task.empty() && found != tasks_.end() && found->first.starts_with(task));
  }

  void wait(const WaitTask& m) {
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

  void ended(const TaskEnded& m) {
    auto it = tasks_.find(m.task_id);
    if (it == tasks_.end()) return;
    Entry& entry = it->second;
    if (!entry.exit) entry.exit = m.exit;
    crash_point("driver.exit.answering");
    for (const auto& reply : std::exchange(entry.waiting, {})) reply(*entry.exit);
    crash_point("driver.exit.answered");
    end_streams(entry, {});
  }

  void watch_usage(const WatchUsage& m) {
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

  template <class Command>
  void pass_on(Command m, Gate Entry::*gate = &Entry::commands) {
    auto it = tasks_.find(m.task_id);
    if (it == tasks_.end() || it->second.removed) {
      m.reply(fail(not_found(m.task_id)));
      return;
    }
    const Gate& open = it->second.*gate;
    if (open.full()) {
      m.reply(fail(too_many("command task", m.task_id)));
      return;
    }
    m.reply = open.counted(m.reply);
    if (!it->second.actor) launch(it->second);
    act::tell(it->second.actor, std::move(m));
  }

  static void end_streams(Entry& entry, const std::optional<Error>& error) {
    for (const auto& watch : std::exchange(entry.seed.usage, {})) watch.stream->end(error);
  }

  // --- the end ---

  void shutdown(const Shutdown& m) {
    stopping_ = true;
    helpers_.let_end();
    m.reply(true);
    self_->quit();  // the destructor stops everything below; open replies answer by themselves
  }

  act::Self self_;
  act::Watch watch_;
  DriverOptions options_;
  std::shared_ptr<Metrics> metrics_;
  SupervisionLimits limits_;
  RuntimePtr runtime_;
  std::shared_ptr<const PluginConfig> config_;
  NodeCompute node_;
  std::set<std::string> node_ids_;  // of this client: as a rule one
  std::map<std::string, Entry> tasks_;
  bool stopping_ = false;
  HelperActors helpers_;
};

}  // namespace

caf::actor spawn_driver(caf::actor_system& system, DriverOptions options) {
  return system.spawn<act::Host<DriverActor>>(std::move(options));
}

}  // namespace ndc::actors
