// One container as its monitor shows it: that it has started, how it ended, whether its output has
// been delivered. Decides what the end of the attached CLI says about the task: an exit status is
// reported only where it is the task's own, and never made up. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/apple_cli.hpp"
#include "runtime/apple_files.hpp"
#include "runtime/apple_poller.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/monitor_link.hpp"

namespace ndc::runtime {

// What all watches share.
struct AppleWatchTools {
  std::shared_ptr<AppleCli> cli;
  std::shared_ptr<ApplePoller> starting;  // quick
  std::shared_ptr<ApplePoller> degraded;  // slow
  std::string monitor_program;
  // Starts are serialised by the daemon, and the first one may fetch a kernel: only a wait without
  // any end is an error.
  std::chrono::nanoseconds start_patience = std::chrono::minutes{10};
  // How long a CLI may stay attached to a container that has stopped. It gives up reading after 3
  // s.
  std::chrono::nanoseconds return_patience = std::chrono::minutes{1};
  // What the collector has not taken of a task that is removed waits for its next attempt. False:
  // it goes with the task, for nobody would remove it where no next one comes.
  bool keep_output = true;
};

class AppleWatch : public std::enable_shared_from_this<AppleWatch> {
 public:
  AppleWatch(const AppleWatchTools& tools, AppleFiles files, std::string id)
      : tools_{tools}, files_{std::move(files)}, id_{std::move(id)} {}

  // For a monitor that has just been launched: done once the process runs (with what the engine
  // says about it, or an empty container where it has ended already), or with why it does not.
  using Started = std::function<void(Expected<AppleContainer>)>;
  void begin_start(Started done);

  // For a container that an earlier plugin has started. Answers at once where the monitor or its
  // record tells; kContainerGone where the container is no more.
  void begin_attach(Done<Attached> done);

  // Called once, when the exit is known or known to be unknown; also if that was earlier.
  void when_ended(ExitSink sink);
  // Called once, when the monitor has handed everything over, or is not there to do it.
  void when_delivered(std::function<void()> done);
  // Called once, if it comes to that: the monitor or its CLI is lost, the container lives on.
  void when_degraded(std::function<void(Error)> told);
  // Where output goes: what a lost monitor had spooled is delivered there. `lost` is told of what
  // cannot be, now or later.
  void deliver_to(const LogPaths& paths, std::function<void(Error)> lost);

  // The container is about to be removed by force: its end is near, and not the task's own.
  // What it wrote last is on its way then, which it is not where it had ended before.
  void expect_removal() { removal_ = !ended() || removal_; }
  bool removal_expected() const { return removal_; }
  // It has ended as far as the engine says, which may be wrong: only its removal makes sure of
  // that.
  bool may_run_on() const { return may_run_on_; }
  // What the engine's list says of the container, null where it has none of this id. Where it has
  // ended and the CLI that is attached to it does not return (return_patience, between two calls),
  // the end is told without an exit status.
  void listed(const AppleContainer* container);

  // The container was removed, and its exit is not waited for any more; its output still is.
  void give_up_exit();
  // The container was removed: no monitor, no watch any more.
  void dismiss();
  // The same, and `gone` once no monitor writes into the spools any more, or one does not end for
  // some seconds: at once where there is nothing to spool.
  void dismiss(const std::function<void()>& gone);
  // Before dismiss(): what nobody has read from the collector's FIFOs goes into the spools.
  void keep_output();
  // There may be output that the collector has not taken.
  bool has_output() const;
  // What becomes of it when the task is removed, for a message.
  std::string fate_of_output() const;

  const std::string& id() const { return id_; }
  bool ended() const { return exit_.has_value(); }
  const AppleFiles& files() const { return files_; }
  // The attached CLI, as its monitor says; 0 where it has not said yet, or has ended.
  pid_t cli() const { return phase_ == Phase::kFollowing ? cli_ : 0; }

 private:
  enum class Phase { kConnecting, kFollowing, kJudging, kDegraded, kEnded };

  void connect();
  void line(const std::string& text);
  // False: whether there is a record cannot be told now.
  bool look_for_record();
  void exit_said();
  void link_closed();
  void judge();
  void verify();
  void verified(const Expected<std::optional<AppleContainer>>& found);
  void lost();
  void degrade(const std::string& why);
  bool degraded_answer(const Expected<std::optional<AppleContainer>>& found);
  bool starting_answer(const Expected<std::optional<AppleContainer>>& found);
  void started(const AppleContainer& container);
  void start_failed(Error error);
  void still_running();
  void end(ExitStatus status, std::string note = {});
  // Of a container that the engine calls stopped.
  void end_unseen(const AppleContainer& container, std::string reason);
  void delivered();
  void deliver();
  void launch_deliverer();
  void deliverer_launched(const Expected<CommandResult>& result);
  void deliver_rest();
  void tell_of_damaged_spools();
  void tell_of_undelivered(const std::string& why);
  void again(std::chrono::nanoseconds pause, void (AppleWatch::*step)());
  std::string cli_end() const;
  std::string monitor_end() const;
  ExitStatus cli_status() const;
  bool is_the_tasks_own() const;
  bool is_doubtful() const;

  AppleWatchTools tools_;
  AppleFiles files_;
  std::string id_;
  Phase phase_ = Phase::kConnecting;
  std::shared_ptr<MonitorLink> link_;
  std::optional<ExitRecord> record_;
  bool record_damaged_ = false;  // it has been seen so
  bool runs_ = false;            // the process is known to have started
  bool removal_ = false;
  bool may_run_on_ = false;
  int tries_ = 0;
  int lags_ = 0;   // answers that a container still runs whose CLI has returned
  pid_t cli_ = 0;  // attached, as its monitor says
  std::optional<std::chrono::steady_clock::time_point> over_since_;  // by the engine's list
  Started started_;
  Done<Attached> attached_;
  std::optional<TaskExit> exit_;
  std::vector<ExitSink> sinks_;
  bool delivered_ = false;
  int rests_ = 0;            // processes started to deliver what a killed monitor left
  int lock_looks_ = 0;       // at the lock of a monitor whose socket is closed
  bool delivering_ = false;  // a process that delivers what is spooled is being started
  int deliver_tries_ = 0;    // that failed to start it
  std::vector<std::function<void()>> when_delivered_;
  std::optional<Error> degraded_;
  std::vector<std::function<void(Error)>> when_degraded_;
  LogPaths logs_;
  std::function<void(Error)> output_lost_;
  bool damage_told_ = false;
  std::shared_ptr<EventLoop::Timer> timer_;
  std::shared_ptr<EventLoop::Timer> lock_timer_;
  std::shared_ptr<EventLoop::Timer> deliver_timer_;
  std::chrono::steady_clock::time_point begun_{};
};

// Removes a container's files, but for output that is kept: how many bytes.
std::uint64_t remove_files(const AppleWatchTools& tools, const AppleFiles& files);

// Why what waits for the collector in the spools there cannot be delivered, for the task's user;
// nullopt: it can. Not while a monitor lives.
std::optional<Error> spool_damage(const AppleFiles& files);

// The command that launches a monitor; `cli` empty: it only delivers what is spooled.
Command monitor_command(const std::string& program, const AppleFiles& files, const LogPaths& logs,
                        MonitorStreams streams, const std::vector<std::string>& cli);

}  // namespace ndc::runtime
