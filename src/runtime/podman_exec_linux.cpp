#include "runtime/podman_exec_linux.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "runtime/exec_process.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

// podman hands variables with this prefix on to the conmon that it starts for an exec, and to
// nothing inside the container: the only trace by which that conmon can be told from others.
constexpr const char* kMarker = "LC_NOMAD_EXEC=";

std::string new_marker() {
  static std::atomic<std::uint64_t> last{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return kMarker + std::to_string(::getpid()) + "." + std::to_string(now) + "." +
         std::to_string(++last);
}

bool has_marker(pid_t pid, const std::string& marker) {
  const auto environment = process_environment(pid);
  return std::find(environment.begin(), environment.end(), marker) != environment.end();
}

// SIGKILL to the command that the marked conmon started, and to all of its session.
void kill_inside(const std::string& container_id, const std::string& marker) {
  const std::vector<pid_t> processes = all_processes();
  pid_t conmon = 0;
  for (const pid_t pid : processes) {
    const auto arguments = process_arguments(pid);
    if (std::find(arguments.begin(), arguments.end(), container_id) == arguments.end()) continue;
    // podman itself has the marker as well, and is our child.
    if (has_marker(pid, marker) && arguments.front().find("conmon") != std::string::npos) {
      conmon = pid;
    }
  }
  if (conmon == 0) return;
  std::vector<pid_t> sessions;
  for (const pid_t pid : processes) {
    const auto stat = process_stat(pid);
    if (stat && stat->parent == conmon) sessions.push_back(stat->session);
  }
  for (const pid_t pid : processes) {
    const UniqueFd process = open_pidfd(pid);
    const auto stat = process_stat(pid);
    if (!process || !stat || !in_container(pid, container_id)) continue;
    if (std::find(sessions.begin(), sessions.end(), stat->session) == sessions.end()) continue;
    signal_pidfd(process, SIGKILL);
  }
}

Expected<ExitStatus> interpret(const std::string& container, const ExitStatus& status,
                               const std::string& err_tail) {
  // 125 is podman's own failure, unless the command ended with it and podman said nothing; 255 is
  // what it makes of a container that does not run.
  const bool not_running = status == ExitStatus{Exited{255}} &&
                           podman_reason(err_tail).ends_with("container state improper");
  const bool failed =
      status == ExitStatus{Exited{125}} && err_tail.find("Error: ") != std::string::npos;
  if (failed || not_running) {
    return fail(podman_error("run command in container", container, status, err_tail));
  }
  return status;
}

}  // namespace

Expected<std::shared_ptr<ExecSession>> podman_exec(EventLoop& loop, const PodmanCli& cli,
                                                   const ContainerRef& container,
                                                   const ExecRequest& request,
                                                   std::shared_ptr<ExecClient> client) {
  if (request.command.empty() || request.command.front().empty()) {
    return fail({ErrorCode::kInvalidConfig,
                 "run command in container",
                 container.name,
                 "the command is empty",
                 {}});
  }
  std::vector<std::string> arguments{"exec", "--interactive"};
  if (request.tty) arguments.emplace_back("--tty");
  arguments.emplace_back("--");
  arguments.push_back(container.id);
  arguments.insert(arguments.end(), request.command.begin(), request.command.end());
  Command command = cli.command(std::move(arguments));
  command.timeout = {};  // the request's own, if any
  const std::string marker = new_marker();
  command.environment.push_back(marker);

  ExecProcessOptions options;
  options.terminal = TerminalMode::kRaw;
  options.terminate_inside = [&loop, id = container.id, marker] {
    kill_inside(id, marker);
    // Ended within its first moments it may only now be about to start.
    auto again = std::make_shared<std::shared_ptr<EventLoop::Timer>>();
    *again = loop.after(1s, [again, id, marker] {
      kill_inside(id, marker);
      again->reset();
    });
  };
  options.interpret = [name = container.name](const ExitStatus& status, const std::string& err) {
    return interpret(name, status, err);
  };
  return start_exec(loop, std::move(command), request, std::move(client), std::move(options));
}

}  // namespace ndc::runtime
