// One task: its life cycle from StartTask (or RecoverTask) to DestroyTask.
//
//             │ kPreparing     kCreating       kRecovering    kRunning      kStopping      kExited
// ────────────┼──────────────────────────────────────────────────────────────────────────────────
// JobChecked  │ find image     –               –              –             –              –
// ImageReady  │ open logs      –               –              –             –              –
// LogsOpened  │ → kCreating    –               keep route     keep route    keep route     –
// C.Started   │ –              → kRunning      –              –             –              –
// C.Attached  │ –              –               → kRunning,    as it is, → kExited          –
//             │                                  kExited
// no answer   │ –              –               → kRunning,    –             –              –
//  in 2 s     │                                  ask on
// C.Exited    │ –              remember        → kExited      → kExited     → kExited      –
// a failure   │ → failed       → failed        → failed       –             –              –
// StopTask    │ refuse         refuse          wait           → kStopping   join           ok
// SignalTask  │ refuse         refuse          refuse         signal        signal         refuse
// ExecTask    │ refuse         refuse          refuse         exec          exec           refuse
// DestroyTask │ refuse         refuse          wait           forced only:  join, then     remove
//             │                                               → kStopping   destroy
// UseHelpers  │ ask another image actor, if the request was lost; else used from here on
// Inspect     │ answered in every state
//
// "failed" tells the driver actor and ends the actor. Removal ends in kDestroying, then the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "actors/spawn.hpp"
#include "actors/task_meter.hpp"

namespace ndc::actors {

class TaskActor {
 public:
  static constexpr const char* name = "task_actor";
  static const std::string& task_of(const TaskSeed& seed) { return seed.identity.task_id; }
  TaskActor(act::Self self, TaskSeed seed);
  ~TaskActor();
  TaskActor(const TaskActor&) = delete;
  TaskActor& operator=(const TaskActor&) = delete;

  caf::behavior make_behavior();

 private:
  enum class State {
    kPreparing,
    kCreating,
    kRecovering,
    kRunning,
    kStopping,
    kExited,
    kDestroying
  };

  // How far a stop has gone. Each step is bounded and is a task event.
  enum class StopStep { kSignalled, kStopped, kKilled, kRemoved };

  // The request for the image. What is lost is asked for again.
  enum class ImageRequest { kNone, kOpen, kLost };

  struct Stopping {
    StopStep step = StopStep::kSignalled;
    std::uint64_t generation = 0;  // of the timer under way
    std::vector<Reply<Expected<void>>> replies;
  };

  static const char* to_string(State state);
  void enter(State next, const std::string& why);

  // start
  void begin();
  void job_checked(const Expected<void>& result);
  void request_image();
  void image_ready(const ImageReady& m);
  void image_lost();
  void request_lost_image();
  void logs_opened(const LogsOpened& m);
  void create_container();
  void container_started(const Expected<runtime::StartedContainer>& result);
  void start_failed(Error error);

  // recover
  void attach();
  void container_attached(const Expected<runtime::Attached>& result);
  void recover_timer();
  void recovered(const std::string& why);
  void still_unattached(const Error& error);

  // end
  void container_exited(const TaskExit& exit);
  void logs_drained();
  void stop(const StopTask& m);
  void begin_stop(StopStep step, int signal, std::chrono::nanoseconds patience);
  void stop_timer(std::uint64_t generation);
  void destroy(const DestroyTask& m);
  void destroy_later();
  void remove_container();
  void container_removed(const Expected<void>& result);

  // while running
  void signal(const SignalTask& m);
  void exec(const ExecTask& m);
  void exec_streaming(const ExecTaskStreaming& m);
  void inspect(const InspectTask& m);
  void watch_usage(const WatchUsage& m);

  // children and helpers
  void use_helpers(const UseHelpers& m);
  bool may_restart(const std::string& child, RestartBudget& budget);
  void start_stats();
  void stats_lost();
  runtime::LogPaths log_paths() const;
  void start_log_forwarder();
  void log_forwarder_lost();
  void logs_unopened(const Error& error);
  void reopen_logs();
  void finish_logs();
  void finish_route();

  bool alive() const { return state_ == State::kRunning || state_ == State::kStopping; }
  const ContainerRef& container() const { return seed_.handle->container; }
  Error wrong_state(const char* what) const;
  int stop_signal();
  void emit(std::string message, std::map<std::string, std::string> annotations = {});

  act::Self self_;
  act::Watch watch_;
  TaskSeed seed_;
  State state_ = State::kPreparing;
  TaskMeter meter_;
  std::vector<Error> config_errors_;  // until the rest of the job was checked
  std::shared_ptr<const TaskConfig> config_;
  runtime::Image image_;
  bool image_retried_ = false;
  ImageRequest image_request_ = ImageRequest::kNone;
  caf::actor image_actor_;    // who was asked last
  caf::actor image_lost_by_;  // who was when the request was lost
  std::chrono::steady_clock::time_point image_asked_;
  int image_losses_ = 0;    // of the request, each to another image actor
  int image_crashes_ = 0;   // of those, the ones that followed at once
  bool attaching_ = false;  // the runtime has not said yet how the container is
  int attach_tries_ = 0;
  std::vector<StopTask> stops_in_recovery_;
  std::vector<DestroyTask> destroys_in_recovery_;
  std::shared_ptr<runtime::LogRoute> logs_;
  int open_tries_ = 0;  // that failed since one was opened
  std::optional<TaskExit> exit_;
  std::uint64_t drain_ = 0;  // of the request to finish the logs that counts
  bool drained_ = false;
  Stopping stopping_;
  std::vector<Reply<Expected<void>>> destroying_;
  int removal_tries_ = 0;
  // Without a handle one is not there yet, or stays off. Each has its own restarts.
  caf::actor log_forwarder_;
  RestartBudget log_restarts_;
  caf::actor stats_;
  RestartBudget stats_restarts_;
};

}  // namespace ndc::actors
