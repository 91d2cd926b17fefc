#include "runtime/apple_exec.hpp"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "runtime/apple_errors.hpp"
#include "runtime/exec_process.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kWhat = "run command in container";

// By this variable the command's processes are found when they have to be ended: there is no way to
// signal an exec, and a wrapper would need a shell for each of them.
constexpr const char* kMarker = "NOMAD_EXEC_MARK";

std::string new_marker() {
  static std::atomic<std::uint64_t> last{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return std::to_string(::getpid()) + "." + std::to_string(now) + "." + std::to_string(++last);
}

// SIGKILL to every process that has the mark; needs a shell and grep in the image.
void kill_inside(const std::shared_ptr<AppleCli>& cli, const std::string& id,
                 const std::string& marker) {
  const std::string script = "for p in /proc/[0-9]*; do grep -q '" + std::string{kMarker} + "=" +
                             marker +
                             "' \"$p/environ\" 2>/dev/null && kill -9 \"${p#/proc/}\"; done; true";
  cli->run_ok(cli->command(AppleCall::exec(id, {"/bin/sh", "-c", script})), AppleCli::Kind::kVital,
              "end command in container", id, [](const Expected<std::string>& out) {
                if (!out) spdlog::warn("{}", out.error().message());
              });
}

Expected<ExitStatus> interpret(const std::string& container, const ExitStatus& status,
                               const std::string& err_tail) {
  const std::string reason = apple_reason(err_tail);
  const bool own_words = err_tail.find("Error: ") != std::string::npos;
  const bool failed = status == ExitStatus{Exited{1}} || status == ExitStatus{Exited{255}};
  if (!failed || !own_words) return status;
  Error error = apple_error(kWhat, container, status, err_tail);
  // What the CLI did not say itself is the command's: many programs begin errors that way.
  const bool of_cli = says_daemon_is_down(err_tail) ||
                      reason.find(container + " is not running") != std::string::npos ||
                      says_container_not_found(reason, container) ||
                      reason.find("failed to find target executable") != std::string::npos ||
                      reason.find("failed to exec") != std::string::npos;
  if (of_cli) return fail(std::move(error));
  return status;
}

}  // namespace

Expected<std::shared_ptr<ExecSession>> apple_exec(const std::shared_ptr<AppleCli>& cli,
                                                  const ContainerRef& container,
                                                  const ExecRequest& request,
                                                  std::shared_ptr<ExecClient> client) {
  if (request.command.empty() || request.command.front().empty()) {
    return fail({ErrorCode::kInvalidConfig, kWhat, container.name, "the command is empty", {}});
  }
  const std::string marker = new_marker();
  Command command = cli->command(AppleCall::exec_interactive(
      container.id, request.command, request.tty, std::string{kMarker} + "=" + marker));
  command.timeout = {};  // the request's own, if any

  ExecProcessOptions options;
  // The CLI makes it raw by itself, but what is typed before that must not be read as lines.
  options.terminal = TerminalMode::kRaw;
  options.terminate_inside = [cli, id = container.id, marker] { kill_inside(cli, id, marker); };
  options.interpret = [name = container.id](const ExitStatus& status, const std::string& err) {
    return interpret(name, status, err);
  };
  return start_exec(cli->loop(), std::move(command), request, std::move(client),
                    std::move(options));
}

}  // namespace ndc::runtime
