// The root: the only actor that calls from outside reach. Keeps the table of tasks, supervises
// their actors, and holds everything that Nomad is waiting for, so that it outlives a crash of a
// task actor.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "actors/counted_exec.hpp"
#include "actors/gate.hpp"
#include "actors/helper_actors.hpp"
#include "actors/spawn.hpp"

namespace ndc::actors {

class DriverActor {
 public:
  static constexpr const char* name = "driver_actor";

  DriverActor(act::Self self, DriverOptions options);
  ~DriverActor();
  DriverActor(const DriverActor&) = delete;
  DriverActor& operator=(const DriverActor&) = delete;

  caf::behavior make_behavior();

 private:
  static constexpr int kMaxImageNews = 3;
  static constexpr std::chrono::seconds kImageNewsWindow = std::chrono::hours{1};

  struct Entry {
    TaskSeed seed;
    caf::actor actor;
    RestartBudget budget;
    std::optional<Reply<Expected<TaskStarted>>> starting;
    // LogRoute::hold(), until a client has asked for the task by its id (driver_actor_start.cpp).
    std::shared_ptr<const void> held_logs;
    // What an actor that failed within the start had open, until a successor has.
    std::shared_ptr<const void> left_logs;
    Gate::Ticket ticket;  // of a start
    // How often a restarted image actor is told of its image: it may be that news that it fails at.
    RestartBudget image_news{kMaxImageNews, kImageNewsWindow};
    std::optional<Reply<Expected<void>>> recovering;
    std::vector<Reply<Expected<TaskExit>>> waiting;
    std::optional<TaskExit> exit;
    bool destroying = false;  // DestroyTask was called
    bool removing = false;    // and not refused: it is done, whatever happens to the actor
    bool recovered = false;   // after that, by another client
    bool abandoned = false;   // its actors failed too often: the reaper ends the container
    bool removed = false;     // destroyed, but that client has not asked for its exit yet
    Gate commands{kMaxCommands};
    Gate sessions{kMaxSessions};
    Gate stops{kMaxStops};
  };

  static Error not_found(const std::string& task_id) {
    return {.code = ErrorCode::kTaskNotFound,
            .what = "find task",
            .on = task_id,
            .cause = "no such task"};
  }

  // --- configuration and helpers ---

  void set_config(const SetConfig& m);
  Expected<void> serve_metrics(const std::string& address);
  void helper_restarted(HelperActors::Kind kind, const char* what);
  void helper_paused(HelperActors::Kind kind, const char* what);
  void emit(const Entry& entry, std::string message);

  // --- the start of a task (driver_actor_start.cpp) ---

  void start(const StartTask& m);
  // Why no task can be started now, if so.
  std::optional<Error> refusal() const;
  Expected<void> ensure_runtime();
  bool waits_for_predecessor(const StartTask& m);
  void hold_logs(const StartTask& m);
  void known_to_client(const std::string& task_id);
  void keep_logs_of_forgotten(Entry& entry);
  void keep_logs(const std::string& task, std::shared_ptr<const void> logs);
  void drop_old_logs();
  void logs_left(const LogsLeft& m);
  void recover(const RecoverTask& m);
  TaskSeed seed_for(TaskIdentity identity);
  void launch(Entry& entry);
  void task_actor_down(const std::string& id, const caf::error& why);
  void running(const TaskRunning& m);
  void start_failed(const TaskStartFailed& m);

  // --- what comes after it ---

  void stop(const StopTask& m);
  void destroy(const DestroyTask& m);
  void destroyed(const TaskDestroyed& m);
  void forget(const std::string& task_id, bool exit_is_wanted);
  void find_dangling(const FindDangling& m);
  bool has_attempt(const std::string& task_id) const;
  void wait(const WaitTask& m);
  void ended(const TaskEnded& m);
  void watch_usage(const WatchUsage& m);
  void shutdown(const Shutdown& m);
  template <class Command>
  static void count(Command& m, const Gate& gate) {
    m.reply = gate.counted(m.reply);
  }
  static void count(ExecTaskStreaming& m, const Gate& gate) {
    m.client = std::make_shared<CountedExec>(std::move(m.client), gate.ticket());
  }
  // Of a task that was given up there is nothing but to end it: another actor that found its
  // container again would keep it from the reaper.
  template <class Command>
  static constexpr bool kEnds =
      std::is_same_v<Command, StopTask> || std::is_same_v<Command, DestroyTask>;
  static void answer_abandoned(const Entry& entry, const InspectTask& m) {
    m.reply(status_of(entry.seed, entry.exit, TaskState::kExited));
  }
  template <class Command>
  static void answer_abandoned(const Entry&, const Command& m) {
    m.reply(fail({.code = ErrorCode::kWrongState,
                  .what = "command task",
                  .on = m.task_id,
                  .cause = "the driver's actor for the task failed too often: it was given up"}));
  }
  template <class Command>
  void pass_on(Command m, Gate Entry::*gate = &Entry::commands) {
    auto it = tasks_.find(m.task_id);
    if (it == tasks_.end() || it->second.removed) {
      m.reply(fail(not_found(m.task_id)));
      return;
    }
    if (it->second.abandoned && !kEnds<Command>) return answer_abandoned(it->second, m);
    const Gate& open = it->second.*gate;
    if (open.full()) {
      m.reply(fail(too_many("command task", m.task_id)));
      return;
    }
    count(m, open);
    if (!it->second.actor) launch(it->second);
    act::tell(it->second.actor, std::move(m));
  }

  static void end_streams(Entry& entry, const std::optional<Error>& error) {
    for (const auto& watch : std::exchange(entry.seed.usage, {})) watch.stream->end(error);
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
  struct ForgottenLogs {
    std::shared_ptr<const void> logs;
    std::chrono::steady_clock::time_point since;
  };
  std::map<std::string, ForgottenLogs> forgotten_;  // by task: "<allocation>/<name>"
  bool stopping_ = false;
  Gate starts_{kMaxStarts};
  Gate recoveries_{kMaxRecoveries};
  HelperActors helpers_;
};

}  // namespace ndc::actors
