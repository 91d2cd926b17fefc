#include "runtime/apple_watch.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/duration.hpp"
#include "model/signals.hpp"
#include "runtime/apple_environment.hpp"
#include "runtime/apple_errors.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/monitor_lines.hpp"
#include "runtime/monitor_process.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

constexpr const char* kStart = "start container";

// Past it the output of a workload that the log collector does not take makes the workload wait.
constexpr const char* kSpoolLimit = "67108864";

// The engine may say "running" for a moment after the attached CLI has returned (contract 6.4): for
// up to 3 s, in which it waits for the container's streams to close.
constexpr int kLagTries = 20;
constexpr auto kLagPause = 200ms;

constexpr std::chrono::seconds kLongestPause{30};

// A monitor that was just launched listens within milliseconds. One that lives and is not reached
// for as long as this is tried more slowly: its record is looked for each time, too.
constexpr auto kReconnect = 100ms;
constexpr int kQuickReconnects = 50;
constexpr auto kSlowReconnect = 2s;

// What the attached CLI returns for a virtual machine that vanished, and for a task that says so.
constexpr int kVanished = 255;
constexpr const char* kMayHaveVanished =
    "Exit code 255 is the task's own, or its virtual machine has vanished: Apple's container says "
    "the same of both";

constexpr const char* kMayRunOn =
    "What ran in the container may still run, though Apple's container calls it stopped: only its "
    "removal ends that, so it is removed with the task, whatever gc.container says";

constexpr const char* kDamagedRecord =
    "the exit record that the task's monitor left is damaged, another user's, or of a newer "
    "version of the driver";

}  // namespace

Command monitor_command(const std::string& program, const AppleFiles& files, const LogPaths& logs,
                        MonitorStreams streams, const std::vector<std::string>& cli) {
  Command out;
  out.argv = {program,          kMonitorRole,     files.directory(), files.socket(),
              logs.stdout_path, logs.stderr_path, kSpoolLimit};
  if (streams == MonitorStreams::kPipesAndStdin) out.argv.emplace_back(kMonitorStdin);
  if (streams == MonitorStreams::kTerminal) out.argv.emplace_back(kMonitorTerminal);
  if (cli.empty()) {
    out.argv.emplace_back("--deliver");
  } else {
    out.argv.emplace_back("--");
    out.argv.insert(out.argv.end(), cli.begin(), cli.end());
  }
  out.environment = apple_cli_environment();  // the attached CLI has its monitor's
  return out;
}

// --- beginnings
// -----------------------------------------------------------------------------------

void AppleWatch::begin_start(Started done) {
  started_ = std::move(done);
  begun_ = std::chrono::steady_clock::now();
  tools_.starting->add(id_, [weak = weak_from_this()](const auto& found) {
    const auto self = weak.lock();
    return self && self->starting_answer(found);
  });
  connect();
}

void AppleWatch::begin_attach(Done<Attached> done) {
  attached_ = std::move(done);
  runs_ = true;
  look_for_record();
  if (!record_) crash_point("apple.attach.connecting");
  if (!record_) return connect();
  crash_point("apple.attach.recorded");
  // The monitor may be delivering what the collector did not take yet.
  if (living_monitor(files_.directory()) != 0) connect();
  judge();
}

void AppleWatch::connect() {
  const auto weak = weak_from_this();
  link_ = std::make_shared<MonitorLink>(
      tools_.cli->loop(),
      [weak](const std::string& text) {
        if (const auto self = weak.lock()) self->line(text);
      },
      [weak] {
        if (const auto self = weak.lock()) self->link_closed();
      });
  link_->connect(files_.socket());
}

void AppleWatch::line(const std::string& text) {
  const MonitorNews news = parse_monitor_news(text);
  switch (news.kind) {
    case MonitorNews::Kind::kRunning:
      if (phase_ != Phase::kConnecting) return;
      phase_ = Phase::kFollowing;
      cli_ = news.cli;
      tries_ = 0;
      crash_point("apple.attach.running");
      if (attached_) still_running();
      return;
    case MonitorNews::Kind::kExit:
      return exit_said();
    case MonitorNews::Kind::kDelivered:
      return delivered();
    case MonitorNews::Kind::kNone:
      return;
  }
}

bool AppleWatch::look_for_record() {
  RecordLook look = look_for_exit_record(files_.directory());
  record_ = std::move(look.record);
  if (look.damaged && !std::exchange(record_damaged_, true)) {
    spdlog::warn("container {}: {}", id_, kDamagedRecord);
  }
  return look.known;
}

void AppleWatch::exit_said() {
  if (phase_ != Phase::kConnecting && phase_ != Phase::kFollowing) return;
  const bool known = look_for_record();
  crash_point("apple.exit.read");
  if (record_) return judge();
  if (!known) again(kReconnect, &AppleWatch::exit_said);
}

void AppleWatch::link_closed() {
  link_.reset();
  if (phase_ != Phase::kConnecting && phase_ != Phase::kFollowing) return deliver_rest();
  // In this order: one that ends in between has left its record.
  const pid_t monitor = living_monitor(files_.directory());
  const bool known = look_for_record();
  if (record_) {
    deliver_rest();
    return judge();
  }
  if (monitor == 0 && known) return lost();
  // It is just about to listen, or hung up on us; or the files cannot be looked at. None of this
  // says that the task has ended, and recovery need not wait for more.
  phase_ = Phase::kConnecting;
  const bool quick = ++tries_ < kQuickReconnects;
  if (!quick) still_running();
  if (tries_ == kQuickReconnects) spdlog::warn("container {}: its monitor is not reached", id_);
  again(quick ? kReconnect : kSlowReconnect, &AppleWatch::connect);
}

void AppleWatch::again(std::chrono::nanoseconds pause, void (AppleWatch::*step)()) {
  timer_ = tools_.cli->loop().after(pause, [weak = weak_from_this(), step] {
    if (const auto self = weak.lock()) (self.get()->*step)();
  });
}

// --- the start
// ------------------------------------------------------------------------------------

bool AppleWatch::starting_answer(const Expected<std::optional<AppleContainer>>& found) {
  if (!started_ || record_) return false;
  if (found && *found && (*found)->running()) {
    started(**found);
    return false;
  }
  if (std::chrono::steady_clock::now() - begun_ < tools_.start_patience) return true;
  const std::string within = "within " + format_duration(tools_.start_patience);
  tools_.cli->start_hung(id_, "container start: no start " + within);
  start_failed({ErrorCode::kTimeout, kStart, id_, "it did not start " + within,
                "check the node: container system status"});
  return false;
}

void AppleWatch::started(const AppleContainer& container) {
  runs_ = true;
  tools_.starting->remove(id_);
  tools_.cli->forget_hung_starts();
  if (const auto done = std::exchange(started_, nullptr)) done(container);
}

void AppleWatch::start_failed(Error error) {
  phase_ = Phase::kEnded;
  tools_.starting->remove(id_);
  if (const auto done = std::exchange(started_, nullptr)) done(fail(std::move(error)));
}

void AppleWatch::still_running() {
  if (const auto done = std::exchange(attached_, nullptr)) done(Attached{StillRunning{}});
}

// --- the end
// --------------------------------------------------------------------------------------

std::string AppleWatch::cli_end() const {
  std::string out = "the attached CLI ";
  switch (record_->kind) {
    case ExitRecord::Kind::kSignalled:
      return out + "was killed by " + signal_name(record_->value);
    case ExitRecord::Kind::kNotSpawned:
      return out + "could not be run";
    case ExitRecord::Kind::kExited:
      break;
  }
  out += "failed";
  const bool said = is_doubtful() || ends_with_cli_failure(record_->stderr_tail);
  return said ? out + " (" + apple_reason(record_->stderr_tail) + ")" : out;
}

// Of one that has left no record.
std::string AppleWatch::monitor_end() const {
  return record_damaged_ ? kDamagedRecord : "the task's monitor was killed";
}

ExitStatus AppleWatch::cli_status() const {
  if (record_->kind == ExitRecord::Kind::kSignalled) return Signalled{record_->value};
  return Exited{record_->value};
}

// Contract 4.2, 4.5: of a process that is known to have run, every code but 255, and 1 with the
// CLI's own words, can only be the task's.
bool AppleWatch::is_the_tasks_own() const {
  if (record_->kind != ExitRecord::Kind::kExited || record_->value == kVanished) return false;
  return record_->value != 1 || !ends_with_cli_failure(record_->stderr_tail);
}

// Words that look like the CLI's: where they are none that are known, the engine has to tell.
bool AppleWatch::is_doubtful() const {
  return record_->kind == ExitRecord::Kind::kExited && record_->value == 1 &&
         ends_like_cli_error(record_->stderr_tail);
}

void AppleWatch::judge() {
  phase_ = Phase::kJudging;
  tries_ = 0;
  lags_ = 0;
  timer_.reset();
  if (record_->kind == ExitRecord::Kind::kNotSpawned) {
    if (started_) {
      return start_failed(
          {ErrorCode::kRuntimeUnavailable, kStart, id_,
           std::string{"the CLI could not be run: "} + std::strerror(record_->value),
           "check container_path in the plugin's configuration"});
    }
    return lost();
  }
  // A CLI that did not get as far as the process may return anything but success.
  if (started_ && cli_status() == ExitStatus{Exited{0}}) started({});
  if (runs_ && is_the_tasks_own() && !is_doubtful()) return end(Exited{record_->value});
  verify();
}

void AppleWatch::verify() {
  crash_point("apple.exit.verifying");
  tools_.cli->find(id_, [weak = weak_from_this()](const auto& found) {
    if (const auto self = weak.lock()) self->verified(found);
  });
}

void AppleWatch::verified(const Expected<std::optional<AppleContainer>>& found) {
  if (phase_ != Phase::kJudging) return;
  if (!found) {
    // A failed question is no answer. Recovery need not wait for it.
    still_running();
    const auto pause =
        std::min<std::chrono::seconds>(1s * (1 << std::min(tries_, 5)), kLongestPause);
    ++tries_;
    if (started_ && tries_ > 3) {
      Error error = found.error();
      return start_failed(std::move(error).wrap(kStart, id_));
    }
    return again(pause, &AppleWatch::verify);
  }
  const bool own = is_the_tasks_own();
  if (!*found) {
    if (started_) {
      return start_failed({ErrorCode::kContainerGone,
                           kStart,
                           id_,
                           "the container was removed while it started",
                           {}});
    }
    if (removal_) return end(UnknownExit{"the container had to be removed by force"});
    if (own) return end(Exited{record_->value});
    return end(UnknownExit{"the container was removed before its exit was known"});
  }
  const AppleContainer& container = **found;
  if (started_ && container.was_started()) started(container);
  // Whatever is not "stopped" is no end: neither "stopping" nor a word that is new.
  if (container.state != "stopped") {
    // The state may lag behind for as long as it likes: the CLI has not failed.
    if (runs_ && own && !is_doubtful()) return end(Exited{record_->value});
    if (++lags_ < kLagTries) return again(kLagPause, &AppleWatch::verify);
    if (runs_) return degrade(cli_end());
  }
  if (!runs_) {
    return start_failed(apple_error(kStart, id_, cli_status(), record_->stderr_tail));
  }
  const bool vanished = cli_status() == ExitStatus{Exited{kVanished}};
  if (!own && !vanished) {
    return end_unseen(container, cli_end() + ", and with it the exit status was lost");
  }
  if (!container.started) {
    return end_unseen(container,
                      "the service of Apple's container was restarted while the task ran, and the "
                      "exit status was lost");
  }
  // Nothing that the engine tells afterwards would decide it.
  end(Exited{record_->value}, vanished ? kMayHaveVanished : "");
}

// A service that was restarted calls what runs on "stopped" as well, but has forgotten its start.
void AppleWatch::listed(const AppleContainer* container) {
  const bool over = container == nullptr || (container->state == "stopped" && container->started);
  // One that has returned has told its monitor, which has no room to write that down yet.
  const bool attached = cli_ > 0 && (::kill(cli_, 0) == 0 || errno != ESRCH);
  if (phase_ != Phase::kFollowing || !over || !attached || record_ || removal_) {
    return over_since_.reset();
  }
  const auto now = std::chrono::steady_clock::now();
  if (!over_since_) over_since_ = now;
  if (now - *over_since_ < tools_.return_patience) return;
  const std::string what =
      container == nullptr ? "has none of this name any more" : "says that it has stopped";
  end(UnknownExit{"Apple's container " + what +
                  ", but the CLI that is attached to it does not return, and with it the exit "
                  "status was lost"});
}

// The monitor is gone and left no record.
void AppleWatch::lost() {
  phase_ = Phase::kJudging;
  tools_.cli->find(id_, [weak = weak_from_this()](const auto& found) {
    const auto self = weak.lock();
    if (!self || self->phase_ != Phase::kJudging) return;
    if (self->started_) {
      return self->start_failed(
          {ErrorCode::kRuntimeUnavailable, kStart, self->id_, "its monitor was killed", {}});
    }
    if (found && !*found && self->attached_) {
      self->phase_ = Phase::kEnded;
      const auto done = std::exchange(self->attached_, nullptr);
      return done(fail({ErrorCode::kContainerGone,
                        "find container again",
                        self->id_,
                        "Apple's container has none of this name",
                        {}}));
    }
    if (found && (!*found || (*found)->state == "stopped")) {  // nothing goes on
      self->phase_ = Phase::kDegraded;
      self->deliver();
      if (!self->degraded_answer(found)) return;
    }
    self->degrade(self->monitor_end());
  });
}

// Output and exit status are lost from here on; that the task ends is still seen.
void AppleWatch::degrade(const std::string& why) {
  phase_ = Phase::kDegraded;
  degraded_ = Error{ErrorCode::kRuntimeUnavailable, "follow task", id_,
                    why + ": the task goes on, but its output and its exit status are lost",
                    "restart the task when that suits"};
  spdlog::warn("{}", degraded_->message());
  still_running();
  for (const auto& told : std::exchange(when_degraded_, {})) told(*degraded_);
  deliver();
  tools_.degraded->add(id_, [weak = weak_from_this()](const auto& found) {
    const auto self = weak.lock();
    return self && self->degraded_answer(found);
  });
}

bool AppleWatch::degraded_answer(const Expected<std::optional<AppleContainer>>& found) {
  if (phase_ != Phase::kDegraded) return false;
  if (!found || (*found && (*found)->state != "stopped")) return true;
  if (!record_) {
    // None was seen when the monitor was lost. Before the exit is given up, that is made sure of.
    if (!look_for_record()) return true;
    if (record_) {
      judge();
      return false;
    }
  }
  // Where no process could be started for it before, there may be one now.
  deliver();
  if (!*found) {
    end(UnknownExit{"the container was removed before its exit status was read"});
    return false;
  }
  end_unseen(**found,
             (record_ ? cli_end() : monitor_end()) + ", and with it the exit status was lost");
  return false;
}

// Contract 12, quirks 23 and 24: after a crash of the service what runs is called "stopped" as
// well, but its start is forgotten.
void AppleWatch::end_unseen(const AppleContainer& container, std::string reason) {
  may_run_on_ = !container.started;
  end(UnknownExit{std::move(reason)}, may_run_on_ ? kMayRunOn : "");
}

void AppleWatch::end(ExitStatus status, std::string note) {
  phase_ = Phase::kEnded;
  timer_.reset();
  tools_.degraded->remove(id_);
  const bool has_time = record_ && !std::holds_alternative<UnknownExit>(status);
  const WallTime at = has_time ? WallTime{std::chrono::milliseconds{record_->at_ms}}
                               : std::chrono::system_clock::now();
  exit_ = TaskExit{std::move(status), false, at, std::move(note)};
  crash_point("apple.exit.told");
  if (const auto done = std::exchange(attached_, nullptr)) done(Attached{*exit_});
  for (const ExitSink& sink : std::exchange(sinks_, {})) sink(*exit_);
  if (!link_ && !delivering_) delivered();
}

void AppleWatch::when_ended(ExitSink sink) {
  if (exit_) return sink(*exit_);
  sinks_.push_back(std::move(sink));
}

// --- the removal
// -------------------------------------------------------------------------------------

void AppleWatch::give_up_exit() {
  tools_.starting->remove(id_);
  tools_.degraded->remove(id_);
  if (phase_ != Phase::kEnded) {
    end(UnknownExit{"the container was removed before its exit was known"});
  }
}

void AppleWatch::dismiss() {
  give_up_exit();
  lock_timer_.reset();
  deliver_timer_.reset();
  delivering_ = false;
  if (!link_ && living_monitor(files_.directory()) != 0) connect();
  if (link_) {
    link_->send("quit");
    link_->close();
    link_.reset();
  }
  delivered();
}

}  // namespace ndc::runtime
