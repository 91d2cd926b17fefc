#include "runtime/podman_exits_linux.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/cgroup_linux.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

// Between questions that podman did not answer: twice as long each time.
constexpr std::chrono::milliseconds kFirstPause{250};
constexpr std::chrono::milliseconds kLongestPause{30'000};
// Looks at a container that podman says runs, while its process has another's number.
constexpr int kLooks = 8;

std::chrono::milliseconds pause_after(int tries) {
  auto pause = kFirstPause;
  for (int i = 1; i < tries && pause < kLongestPause; ++i) pause *= 2;
  return std::min(pause, kLongestPause);
}

std::optional<Conmon> find_conmon(const PodmanContainer& container) {
  auto found = Conmon::find(container.conmon_pid, container.id);
  // Podman does not know it where conmon's file with the number went before podman had read it: to
  // a full disk, or to a second start that found the first one at work.
  if (!found) found = Conmon::search(container.id);
  return found;
}

WallTime end_of(const PodmanContainer& container) {
  return container.finished_at.value_or(std::chrono::system_clock::now());
}

// What podman recorded. -1 is its word for "nobody saw it".
TaskExit recorded_exit(const PodmanContainer& container, std::optional<int> from_conmon,
                       bool oom_noted) {
  const bool oom = container.oom_killed || oom_noted;
  const int code = from_conmon.value_or(container.exit_code);
  if (code < 0) {
    return {UnknownExit{"podman did not record it: its watcher conmon was killed"}, oom,
            end_of(container)};
  }
  return {Exited{code}, oom, end_of(container)};
}

}  // namespace

PodmanExits::PodmanExits(EventLoop& loop, std::shared_ptr<PodmanCli> cli, std::string state_dir)
    : loop_{loop},
      cli_{std::move(cli)},
      watch_{std::make_shared<ExitWatch>(loop)},
      state_dir_{std::move(state_dir)} {}

void PodmanExits::watch(const ContainerRef& container, ExitSink exited) {
  const Conmon conmon = Conmon::from(container);
  if (conmon.pid > 0) return follow(container, conmon, std::move(exited));
  ask({container, std::nullopt, std::move(exited), 0});
}

void PodmanExits::attach(const ContainerRef& container, ExitSink exited, Done<Attached> done) {
  const Conmon conmon = Conmon::from(container);
  if (conmon.pid > 0 && conmon.alive()) {
    crash_point("podman.attach.found");
    done(Attached{StillRunning{}});
    return follow(container, conmon, std::move(exited));
  }
  crash_point("podman.attach.inspecting");
  inspect(container, [self = shared_from_this(), container, exited = std::move(exited),
                      done = std::move(done)](Expected<CommandResult> result) mutable {
    self->attached(container, std::move(exited), std::move(result), done);
  });
}

void PodmanExits::attached(const ContainerRef& container, ExitSink exited,
                           Expected<CommandResult> result, const Done<Attached>& done) {
  const char* what = "find container again";
  if (!result) return done(fail(std::move(result.error()).wrap(what, container.name)));
  if (result->status != ExitStatus{Exited{0}}) {
    Error error = podman_error(what, container.name, result->status, result->err);
    if (says_no_such_container(result->err)) error.code = ErrorCode::kContainerGone;
    return done(fail(std::move(error)));
  }
  const auto found = parse_container(result->out);
  if (!found) return done(fail(Error{found.error()}.wrap(what, container.name)));
  if (found->running) {
    const bool there = find_conmon(*found) || in_container(found->pid, container.id);
    if (there) {
      done(Attached{StillRunning{}});
      return still_running({container, std::nullopt, std::move(exited), 0}, *found);
    }
    return done(Attached{TaskExit{
        UnknownExit{"podman's watcher conmon was killed, and with it the exit status was lost"},
        false, std::chrono::system_clock::now()}});
  }
  if (!found->has_run()) {
    return done(fail(
        {ErrorCode::kContainerGone, what, container.name, "it was created but never started", {}}));
  }
  done(Attached{recorded_exit(*found, std::nullopt, oom_noted(container))});
}

void PodmanExits::inspect(const ContainerRef& container,
                          std::function<void(Expected<CommandResult>)> done) {
  cli_->run(cli_->command({"container", "inspect", "--format=json", "--", container.id}),
            std::move(done));
}

void PodmanExits::follow(const ContainerRef& container, const Conmon& conmon, ExitSink exited) {
  watch_->watch(conmon, [self = shared_from_this(), container,
                         exited = std::move(exited)](std::optional<int> code) {
    crash_point("podman.exit.seen");
    if (code == 0) return exited({Exited{0}, false, std::chrono::system_clock::now()});
    // Podman does not notice the OOM killer everywhere (4.3 on cgroup v1 does not). conmon does,
    // and the cgroup is still there: podman removes it when conmon ends.
    const bool noted = self->oom_noted(container);
    const auto cgroup = saved_cgroup(container);
    const auto killed = cgroup ? oom_kills(*cgroup) : std::nullopt;
    if (code && (noted || killed)) {
      const bool oom = noted || *killed > 0;
      return exited({Exited{*code}, oom, std::chrono::system_clock::now()});
    }
    self->ask({container, code, exited, 0});
  });
}

bool PodmanExits::oom_noted(const ContainerRef& container) const {
  return PodmanFiles{state_dir_, container.name}.oom_noted();
}

void PodmanExits::ask(Question question) {
  const ContainerRef container = question.container;
  inspect(container, [self = shared_from_this(),
                      question = std::move(question)](Expected<CommandResult> result) mutable {
    crash_point("podman.exit.answered");
    self->answered(std::move(question), std::move(result));
  });
  crash_point("podman.exit.asked");
}

void PodmanExits::answered(Question question, Expected<CommandResult> result) {
  const auto now = std::chrono::system_clock::now();
  auto found = result && result->status == ExitStatus{Exited{0}}
                   ? parse_container(result->out)
                   : Expected<PodmanContainer>{fail(
                         !result ? result.error()
                                 : podman_error("read exit of container", question.container.name,
                                                result->status, result->err))};
  if (found && found->running && question.code) {
    found->running = false;  // podman has not taken note yet of what conmon saw
  }
  if (found && found->running) return still_running(std::move(question), *found);
  if (found)
    return question.exited(recorded_exit(*found, question.code, oom_noted(question.container)));
  if (question.code) return question.exited({Exited{*question.code}, false, now});
  const bool gone = result && says_no_such_container(result->err);
  if (gone) {
    return question.exited(
        {UnknownExit{"the container was removed before its exit status was read"}, false, now});
  }
  ask_again(std::move(question), found.error().message());
}

// For as long as it takes: podman has recorded the exit, and a podman that cannot be asked (its
// package is being replaced) is no reason to lose it. Who removes the container ends the question.
void PodmanExits::ask_again(Question question, const std::string& why) {
  spdlog::warn("{}; asking again", why);
  const auto pause = pause_after(++question.tries);
  auto timer = std::make_shared<std::shared_ptr<EventLoop::Timer>>();
  *timer = loop_.after(pause, [self = shared_from_this(), timer, question]() mutable {
    timer->reset();
    self->ask(std::move(question));
  });
}

// Its conmon was not found before, for want of a descriptor perhaps. Where it is gone the
// workload's end is still seen, its exit code is lost.
void PodmanExits::still_running(Question question, const PodmanContainer& found) {
  if (const auto conmon = find_conmon(found)) {
    return follow(question.container, *conmon, std::move(question.exited));
  }
  const pid_t pid = found.pid;
  const char* what = "podman's watcher conmon was killed, and with it the exit status was lost";
  const auto lost = [exited = question.exited, what] {
    exited({UnknownExit{what}, false, std::chrono::system_clock::now()});
  };
  if (pid <= 0 || ::kill(pid, 0) != 0) return lost();
  const bool ours = in_container(pid, question.container.id);
  if (ours && watch_->watch_process(pid, lost)) return;
  // Another process has that number by now, or there was no descriptor free to look.
  if (!ours && question.tries >= kLooks) return lost();
  ask_again(std::move(question), what);
}

}  // namespace ndc::runtime
