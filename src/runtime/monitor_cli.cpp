#include "runtime/monitor_cli.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "runtime/crash_point.hpp"

extern char** environ;

namespace ndc::runtime {
namespace {

bool make_pipes(UniqueFd (&ours)[2], UniqueFd (&theirs)[2]) {
  for (int i = 0; i < 2; ++i) {
    int ends[2];
    if (::pipe(ends) != 0) return false;
    ours[i] = UniqueFd{ends[0]};
    theirs[i] = UniqueFd{ends[1]};
    ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    ::fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // ours alone: the CLI must have a blocking end
  }
  return true;
}

// Opened for each: the CLI makes its stdin non-blocking, which must not reach its stdout.
bool take_terminal(const char* name) {
  bool ok = true;
  for (int fd = 0; fd < 3 && ok; ++fd) {
    const int opened = ::open(name, O_RDWR);
    if (opened < 0 || (opened != fd && ::dup2(opened, fd) < 0)) ok = false;
    if (fd == 0 && ok) ok = ::ioctl(0, TIOCSCTTY, 0) == 0;
    if (opened > 2) ::close(opened);
  }
  return ok;
}

bool take_null() {
  const int null = ::open("/dev/null", O_RDONLY);
  const bool ok = null >= 0 && ::dup2(null, 0) == 0;
  if (null > 2) ::close(null);
  return ok;
}

// The CLI has the writing end too: whoever else dies, its stdin does not end.
bool take_open_stdin() {
  int ends[2];
  if (::pipe(ends) != 0) return false;
  const bool ok = ::dup2(ends[0], 0) == 0;
  if (ends[0] > 2) ::close(ends[0]);
  return ok;
}

}  // namespace

// Raw: the guest has a terminal of its own, this one must not change a byte.
bool AttachedCli::make_terminal(UniqueFd& slave) {
  UniqueFd master{::posix_openpt(O_RDWR | O_NOCTTY)};
  if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0) return false;
  const char* name = ::ptsname(master.get());
  if (name == nullptr || ::strlen(name) >= sizeof terminal_name_) return false;
  ::strcpy(terminal_name_, name);
  slave = UniqueFd{::open(name, O_RDWR | O_NOCTTY)};
  termios settings{};
  if (!slave || ::tcgetattr(slave.get(), &settings) != 0) return false;
  ::cfmakeraw(&settings);
  winsize size{};
  size.ws_row = 24;
  size.ws_col = 80;
  if (::tcsetattr(slave.get(), TCSANOW, &settings) != 0) return false;
  ::ioctl(master.get(), TIOCSWINSZ, &size);
  ::fcntl(master.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(slave.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(master.get(), F_SETFL, O_NONBLOCK);
  terminal_ = std::move(master);
  return true;
}

// In the child.
void AttachedCli::run(char** command, MonitorStreams streams, const UniqueFd (&theirs)[2],
                      int report) const {
  ::signal(SIGCHLD, SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);  // the CLI's bearing depends on it
  ::setsid();
  bool ok = ::chdir("/") == 0;
  if (ok && terminal_) {
    ok = take_terminal(terminal_name_);
  } else if (ok) {
    ok = ::dup2(theirs[0].get(), 1) == 1 && ::dup2(theirs[1].get(), 2) == 2 &&
         (streams == MonitorStreams::kPipesAndStdin ? take_open_stdin() : take_null());
  }
  if (ok) ::execve(command[0], command, environ);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(report, &error, sizeof error);
  ::_exit(127);
}

bool AttachedCli::start(char** command, MonitorStreams streams, Channel& out, Channel& err) {
  const bool tty = streams == MonitorStreams::kTerminal;
  UniqueFd ours[2];
  UniqueFd theirs[2];
  int report[2];
  const bool prepared = tty ? make_terminal(theirs[0]) : make_pipes(ours, theirs);
  if (!prepared || ::pipe(report) != 0) return false;
  ::fcntl(report[0], F_SETFD, FD_CLOEXEC);
  ::fcntl(report[1], F_SETFD, FD_CLOEXEC);
  pid_ = ::fork();
  if (pid_ == 0) run(command, streams, theirs, report[1]);
  ::close(report[1]);
  int error = pid_ < 0 ? errno : 0;
  if (pid_ > 0 && ::read(report[0], &error, sizeof error) > 0) {
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  ::close(report[0]);
  if (error != 0) {
    errno = error;
    return false;
  }
  crash_point("monitor.start.spawned");
  if (tty) {
    out.set_source(UniqueFd{::fcntl(terminal_.get(), F_DUPFD_CLOEXEC, 3)});
  } else {
    out.set_source(std::move(ours[0]));
    err.set_source(std::move(ours[1]));
  }
  return true;
}

bool AttachedCli::reap(int& status) {
  if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  pid_ = 0;
  return true;
}

void AttachedCli::kill() const {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void AttachedCli::resize(int rows, int columns) const {
  if (!terminal_) return;
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  ::ioctl(terminal_.get(), TIOCSWINSZ, &size);  // the kernel tells the CLI
}

}  // namespace ndc::runtime
