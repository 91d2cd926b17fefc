#include "runtime/pty.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace ndc::runtime {
namespace {

tl::unexpected<Error> pty_error(const char* step) {
  return fail({ErrorCode::kRuntimeUnavailable, "open terminal", step, std::strerror(errno), {}});
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& each : strings) out.push_back(const_cast<char*>(each.c_str()));
  out.push_back(nullptr);
  return out;
}

// Everything the child needs, prepared before fork: after it only async-signal-safe calls.
struct Plan {
  const char* file;
  char* const* argv;
  char* const* environment;
  const char* directory;
  int slave;
  const char* slave_path;  // empty: unknown
  int extra_fd;
  int report;
};

[[noreturn]] void report_and_exit(int report, int step) {
  const int record[2] = {step, errno};
  [[maybe_unused]] const ssize_t written = ::write(report, record, sizeof record);
  ::_exit(127);
}

enum Step { kSetsid, kTerminal, kDescriptors, kDirectory, kExec };
constexpr const char* kStepNames[] = {"setsid", "controlling terminal", "dup2", "chdir", "exec"};

[[noreturn]] void run_child(const Plan& plan) {
  for (int number = 1; number < 32; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  if (::setsid() < 0) report_and_exit(plan.report, kSetsid);
  if (::ioctl(plan.slave, TIOCSCTTY, 0) < 0) report_and_exit(plan.report, kTerminal);
  // Above 3, so that no dup2 below overwrites one that is still needed.
  const int slave = ::fcntl(plan.slave, F_DUPFD_CLOEXEC, 10);
  const int extra = plan.extra_fd < 0 ? -1 : ::fcntl(plan.extra_fd, F_DUPFD_CLOEXEC, 10);
  const int report = ::fcntl(plan.report, F_DUPFD_CLOEXEC, 10);
  if (slave < 0 || report < 0 || (plan.extra_fd >= 0 && extra < 0)) {
    report_and_exit(plan.report, kDescriptors);
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(slave, fd) < 0) report_and_exit(report, kDescriptors);
    // Opened anew for output: a program that makes its stdin non-blocking must not do so to these.
    const int own = fd == 0 || *plan.slave_path == '\0' ? -1 : ::open(plan.slave_path, O_RDWR);
    if (own > fd) {
      ::dup2(own, fd);
      ::close(own);
    }
  }
  if (extra >= 0 && ::dup2(extra, 3) < 0) report_and_exit(report, kDescriptors);
  if (::chdir(plan.directory) < 0) report_and_exit(report, kDirectory);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan.file, plan.argv, plan.environment);
  report_and_exit(report, kExec);
}

}  // namespace

Expected<Pty> open_pty(TerminalMode mode) {
  Pty pty;
#ifdef __linux__
  pty.master = UniqueFd{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
#else
  pty.master = UniqueFd{::posix_openpt(O_RDWR | O_NOCTTY)};
  if (pty.master) ::fcntl(pty.master.get(), F_SETFD, FD_CLOEXEC);
#endif
  if (!pty.master) return pty_error("posix_openpt");
  if (::grantpt(pty.master.get()) != 0) return pty_error("grantpt");
  if (::unlockpt(pty.master.get()) != 0) return pty_error("unlockpt");
  const char* name = ::ptsname(pty.master.get());  // the loop thread is the only caller
  if (name == nullptr) return pty_error("ptsname");
  pty.slave = UniqueFd{::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)};
  if (!pty.slave) return pty_error(name);
  if (mode == TerminalMode::kRaw) {
    termios settings{};
    if (::tcgetattr(pty.slave.get(), &settings) != 0) return pty_error("tcgetattr");
    ::cfmakeraw(&settings);
    if (::tcsetattr(pty.slave.get(), TCSANOW, &settings) != 0) return pty_error("tcsetattr");
  }
  return pty;
}

bool set_size(int master, TerminalSize size) {
  winsize window{};
  window.ws_row = static_cast<unsigned short>(std::clamp(size.rows, 1, 65535));
  window.ws_col = static_cast<unsigned short>(std::clamp(size.columns, 1, 65535));
  return ::ioctl(master, TIOCSWINSZ, &window) == 0;
}

pid_t spawn_on_pty(const std::string& file, const std::vector<std::string>& argv,
                   const std::vector<std::string>& environment, const std::string& directory,
                   int slave, int extra_fd, SpawnFailure& failure) {
  uv_file report_fds[2];
  if (const int error = ::uv_pipe(report_fds, 0, 0); error != 0) {
    failure = {"pipe", -error};
    return -1;
  }
  UniqueFd report_read{report_fds[0]};
  UniqueFd report_write{report_fds[1]};
  const std::vector<char*> arguments = pointers(argv);
  const std::vector<char*> variables = pointers(environment);
  char slave_path[128] = "";
  if (::ttyname_r(slave, slave_path, sizeof slave_path) != 0) slave_path[0] = '\0';
  const Plan plan{file.c_str(), arguments.data(), variables.data(), directory.c_str(),
                  slave,        slave_path,       extra_fd,         report_write.get()};

  // No signal may reach a handler of ours in the child.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) run_child(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    failure = {"fork", fork_error};
    return -1;
  }
  report_write.reset();
  int record[2];
  ssize_t count = 0;
  do {
    count = ::read(report_read.get(), record, sizeof record);
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(sizeof record)) return pid;
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  failure = {kStepNames[record[0]], record[1]};
  return -1;
}

}  // namespace ndc::runtime
