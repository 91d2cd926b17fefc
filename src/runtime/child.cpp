#include "runtime/child.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "runtime/pty.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";

// A child that was sent SIGKILL is dead at once, but for one that the kernel holds.
constexpr int kReapTries = 100;
constexpr std::chrono::milliseconds kReapPause{1};

Error spawn_error(const std::vector<std::string>& argv, std::string cause, std::string hint = {}) {
  return {ErrorCode::kRuntimeUnavailable, "run", command_name(argv), std::move(cause),
          std::move(hint)};
}

// 0, or why `path` cannot be executed.
int not_executable(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  return ::access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

std::string search_path(const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    if (entry.rfind("PATH=", 0) == 0) return entry.substr(5);
  }
  return kDefaultPath;
}

ExitStatus from_wait_status(int status) {
  if (WIFSIGNALED(status)) return Signalled{WTERMSIG(status)};
  return Exited{WEXITSTATUS(status)};
}

}  // namespace

std::string command_name(const std::vector<std::string>& argv) {
  if (argv.empty()) return "";
  const std::string& program = argv.front();
  std::string name = program.substr(program.rfind('/') + 1);  // npos + 1 is 0
  if (argv.size() > 1) name += " " + argv[1];
  return name;
}

Expected<std::string> resolve_program(const std::vector<std::string>& argv,
                                      const std::vector<std::string>& environment) {
  if (argv.empty() || argv.front().empty()) {
    return fail({ErrorCode::kInternal, "run", "", "the command is empty", {}});
  }
  const std::string& program = argv.front();
  if (program.find('/') != std::string::npos) {
    const int error = not_executable(program);
    if (error == 0) return program;
    return fail(spawn_error(argv, quoted(program) + ": " + std::strerror(error),
                            "install it or correct its path in the plugin's configuration"));
  }
  const std::string path = search_path(environment);
  std::string refused;  // found, but may not be executed
  std::string_view rest = path;
  while (true) {
    const auto colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    if (!directory.empty()) {  // an empty entry would be the working directory: never wanted
      std::string candidate = std::string{directory} + "/" + program;
      const int error = not_executable(candidate);
      if (error == 0) return candidate;
      if (error == EACCES && refused.empty()) refused = std::move(candidate);
    }
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (!refused.empty()) {
    return fail(spawn_error(argv, quoted(refused) + ": " + std::strerror(EACCES),
                            "make it executable for the user that the Nomad agent runs as"));
  }
  return fail(spawn_error(argv, quoted(program) + " was not found on PATH " + quoted(path),
                          "install it, or add its directory to the Nomad agent's PATH"));
}

Expected<std::shared_ptr<Child>> Child::spawn(EventLoop& loop, const SpawnPlan& plan,
                                              std::function<void(ExitStatus)> exited) {
  auto file = resolve_program(plan.argv, plan.environment);
  if (!file) return fail(std::move(file.error()));
  auto child = std::make_shared<Child>();
  child->exited_ = std::move(exited);
  child->ends_with_loop_ = plan.ends_with_loop;
  auto spawned = plan.controlling_terminal ? child->spawn_with_terminal(loop, plan, *file)
                                           : child->spawn_plain(loop, plan, *file);
  if (!spawned) {
    child->exited_ = nullptr;  // the closing handle still holds the child for a moment
    return fail(std::move(spawned.error()));
  }
  return child;
}

Expected<void> Child::spawn_plain(EventLoop& loop, const SpawnPlan& plan, const std::string& file) {
  auto pointers = [](const std::vector<std::string>& strings) {
    std::vector<char*> out;
    out.reserve(strings.size() + 1);
    for (const std::string& each : strings) out.push_back(const_cast<char*>(each.c_str()));
    out.push_back(nullptr);
    return out;
  };
  std::vector<char*> arguments = pointers(plan.argv);
  std::vector<char*> variables = pointers(plan.environment);
  std::array<uv_stdio_container_t, kHeldFd + 2> stdio{};  // UV_IGNORE from 3 on: none
  int count = 3;
  const auto inherit = [&](std::size_t number, int fd) {
    if (fd < 0) return;
    stdio[number].flags = UV_INHERIT_FD;
    stdio[number].data.fd = fd;
    count = std::max(count, static_cast<int>(number) + 1);
  };
  for (std::size_t i = 0; i < plan.fds.size(); ++i) inherit(i, plan.fds[i]);
  for (std::size_t i = 0; i < plan.held.size(); ++i) inherit(kHeldFd + i, plan.held[i]);
  uv_process_options_t options{};
  options.file = file.c_str();
  options.args = arguments.data();
  options.env = variables.data();
  options.cwd = plan.directory.empty() ? "/" : plan.directory.c_str();
  options.flags = UV_PROCESS_DETACHED;
  options.stdio_count = count;
  options.stdio = stdio.data();
  options.exit_cb = [](uv_process_t* process, std::int64_t code, int signal) {
    if (const auto child = owner_of<Child>(process)) {
      child->ended(signal != 0 ? ExitStatus{Signalled{signal}}
                               : ExitStatus{Exited{static_cast<int>(code)}});
    }
  };
  int spawn_result = 0;
  // A failed uv_spawn leaves a handle that has to be closed, so it counts as opened.
  process_.open(loop.uv(), shared_from_this(), [&](uv_loop_t* uv, uv_process_t* process) {
    spawn_result = uv_spawn(uv, process, &options);
    return 0;
  });
  if (spawn_result != 0) {
    process_.close();
    return fail(spawn_error(plan.argv,
                            "spawn in " + quoted(options.cwd) + ": " + uv_strerror(spawn_result)));
  }
  pid_ = process_.get()->pid;
  return {};
}

Expected<void> Child::spawn_with_terminal(EventLoop& loop, const SpawnPlan& plan,
                                          const std::string& file) {
  // Watched before the fork, or a quick exit would go unnoticed.
  int error = child_signal_.open(loop.uv(), shared_from_this(), uv_signal_init);
  if (error == 0) {
    error = uv_signal_start(
        child_signal_.get(),
        [](uv_signal_t* handle, int) {
          if (const auto child = owner_of<Child>(handle)) child->reap();
        },
        SIGCHLD);
  }
  SpawnFailure failure;
  if (error != 0) {
    failure = {"watch SIGCHLD", -error};
  } else {
    const std::string directory = plan.directory.empty() ? "/" : plan.directory;
    pid_ = spawn_on_pty(file, plan.argv, plan.environment, directory, plan.fds[0], plan.fds[3],
                        failure);
    if (pid_ > 0) return {};
  }
  pid_ = 0;
  child_signal_.close();
  return fail(
      spawn_error(plan.argv, std::string{failure.step} + ": " + std::strerror(failure.error)));
}

void Child::reap() {
  if (pid_ == 0) return;
  int status = 0;
  const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
  if (reaped == pid_) {
    ended(from_wait_status(status));
  } else if (reaped < 0 && errno == ECHILD) {
    ended(UnknownExit{"the child was reaped by someone else"});
  }
}

void Child::ended(ExitStatus status) {
  pid_ = 0;
  process_.close();
  child_signal_.close();
  if (const auto exited = std::exchange(exited_, nullptr)) exited(std::move(status));
}

// Before the child was reaped: the loop has ended.
Child::~Child() {
  if (!ends_with_loop_ || pid_ <= 0) return;
  kill_group();
  for (int i = 0; i < kReapTries && ::waitpid(pid_, nullptr, WNOHANG) == 0; ++i) {
    std::this_thread::sleep_for(kReapPause);
  }
}

void Child::kill_group() {
  if (pid_ > 0) ::kill(-pid_, SIGKILL);
}

}  // namespace ndc::runtime
