#include "runtime/monitor_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "runtime/crash_point.hpp"
#include "runtime/monitor_channel.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/unique_fd.hpp"

extern char** environ;

namespace ndc::runtime {
namespace {

constexpr int kMaxClients = 8;
constexpr std::int64_t kLinger = 500;               // ms for output that others keep open
constexpr std::int64_t kDeliverPatience = 600'000;  // ms without a taker, after the task's end
constexpr std::int64_t kQuitPatience = 5000;        // ms for the CLI, once its container is gone
constexpr std::size_t kTail = 2048;

struct Arguments {
  const char* directory = nullptr;
  const char* socket = nullptr;
  const char* out = nullptr;
  const char* err = nullptr;
  std::uint64_t limit = 0;
  bool tty = false;
  bool deliver = false;
  char** command = nullptr;
};

struct Client {
  int fd = -1;
  char line[64] = {};
  std::size_t used = 0;
};

char tail[kTail];
int child_signal[2] = {-1, -1};

void on_child(int) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t written = ::write(child_signal[1], "c", 1);
  errno = saved;
}

int complain(const char* step, const char* on) {
  ::fprintf(stderr, "%s %s: %s\n", step, on, ::strerror(errno));
  return 1;
}

bool read_arguments(int argc, char** argv, Arguments& out) {
  if (argc < 6) return false;
  out.directory = argv[0];
  out.socket = argv[1];
  out.out = argv[2];
  out.err = argv[3];
  out.limit = ::strtoull(argv[4], nullptr, 10);
  for (int i = 5; i < argc; ++i) {
    if (::strcmp(argv[i], "--tty") == 0) {
      out.tty = true;
    } else if (::strcmp(argv[i], "--deliver") == 0) {
      out.deliver = true;
    } else if (::strcmp(argv[i], "--") == 0) {
      out.command = argv + i + 1;
      break;
    } else {
      return false;
    }
  }
  const bool has_command = out.command != nullptr && out.command[0] != nullptr;
  return out.limit > 0 && has_command != out.deliver;
}

// The lock is the monitor's proof of life, and keeps a second one away.
int take_lock(const Arguments& arguments) {
  char path[1024];
  ::snprintf(path, sizeof path, "%s/%s", arguments.directory, kMonitorLock);
  const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -1;
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

// By the caller's process, so that the name is there when it returns.
bool name_holder(int lock, pid_t holder) {
  char pid[32];
  const int size = ::snprintf(pid, sizeof pid, "%d\n", static_cast<int>(holder));
  return ::ftruncate(lock, 0) == 0 &&
         ::pwrite(lock, pid, static_cast<std::size_t>(size), 0) == size;
}

int listen_on(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (::strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  ::strcpy(address.sun_path, path);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  ::unlink(path);  // we hold the lock: nobody listens there
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::listen(fd, kMaxClients) == 0) {
    return fd;
  }
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

class Monitor {
 public:
  Monitor(const Arguments& arguments, int lock, int listener)
      : arguments_{arguments},
        lock_{lock},
        listener_{listener},
        out_{arguments.out, kMonitorSpoolOut, arguments.limit},
        err_{arguments.err, kMonitorSpoolErr, arguments.limit} {}

  int run();

 private:
  bool start_cli();
  bool make_pipes(UniqueFd (&ours)[2], UniqueFd (&theirs)[2]);
  bool make_terminal(UniqueFd& slave);
  [[noreturn]] void become_cli(int out, int err, const char* terminal, int report);
  bool step();
  int wait_time(std::int64_t now) const;
  void reap();
  void drain_sources(std::int64_t now);
  void record(ExitRecord::Kind kind, int value);
  bool may_end(std::int64_t now);
  void accept_client();
  void serve(Client& client);
  void obey(const char* line);
  void say(Client& client, const char* text);
  void say_all(const char* text);

  const Arguments& arguments_;
  UniqueFd lock_;
  UniqueFd listener_;
  Channel out_;
  Channel err_;
  UniqueFd terminal_;  // for its size; the channel reads a copy
  char terminal_name_[128] = {};
  pid_t cli_ = 0;
  bool exited_ = false;
  bool said_delivered_ = false;
  bool quit_ = false;
  std::int64_t quit_at_ = 0;
  std::int64_t progress_at_ = 0;
  Client clients_[kMaxClients];
};

// --- the CLI
// --------------------------------------------------------------------------------------

bool Monitor::make_pipes(UniqueFd (&ours)[2], UniqueFd (&theirs)[2]) {
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

// Raw: the guest has a terminal of its own, this one must not change a byte.
bool Monitor::make_terminal(UniqueFd& slave) {
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

void Monitor::become_cli(int out, int err, const char* terminal, int report) {
  ::signal(SIGCHLD, SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);  // the CLI's bearing depends on it
  ::setsid();
  bool ok = ::chdir("/") == 0;
  if (terminal != nullptr) {
    // Opened for each: the CLI makes its stdin non-blocking, which must not reach its stdout.
    for (int fd = 0; fd < 3 && ok; ++fd) {
      const int opened = ::open(terminal, O_RDWR);
      if (opened < 0 || (opened != fd && ::dup2(opened, fd) < 0)) ok = false;
      if (fd == 0 && ok) ok = ::ioctl(0, TIOCSCTTY, 0) == 0;
      if (opened > 2) ::close(opened);
    }
  } else {
    const int null = ::open("/dev/null", O_RDONLY);
    ok = null >= 0 && ::dup2(null, 0) == 0 && ::dup2(out, 1) == 1 && ::dup2(err, 2) == 2;
    if (null > 2) ::close(null);
  }
  if (ok) ::execve(arguments_.command[0], arguments_.command, environ);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(report, &error, sizeof error);
  ::_exit(127);
}

// False (errno) if it did not get as far as running the CLI.
bool Monitor::start_cli() {
  UniqueFd ours[2];
  UniqueFd theirs[2];
  int report[2];
  const bool prepared = arguments_.tty ? make_terminal(theirs[0]) : make_pipes(ours, theirs);
  if (!prepared || ::pipe(report) != 0) return false;
  ::fcntl(report[0], F_SETFD, FD_CLOEXEC);
  ::fcntl(report[1], F_SETFD, FD_CLOEXEC);
  cli_ = ::fork();
  if (cli_ == 0) {
    become_cli(theirs[0].get(), theirs[1].get(), arguments_.tty ? terminal_name_ : nullptr,
               report[1]);
  }
  ::close(report[1]);
  int error = cli_ < 0 ? errno : 0;
  if (cli_ > 0 && ::read(report[0], &error, sizeof error) > 0) {
    ::waitpid(cli_, nullptr, 0);
    cli_ = 0;
  }
  ::close(report[0]);
  if (error != 0) {
    errno = error;
    return false;
  }
  crash_point("monitor.start.spawned");
  if (arguments_.tty) {
    out_.set_source(UniqueFd{::fcntl(terminal_.get(), F_DUPFD_CLOEXEC, 3)});
  } else {
    out_.set_source(std::move(ours[0]));
    err_.set_source(std::move(ours[1]));
  }
  return true;
}

void Monitor::reap() {
  char drained[64];
  while (::read(child_signal[0], drained, sizeof drained) > 0) {
  }
  int status = 0;
  if (cli_ <= 0 || ::waitpid(cli_, &status, WNOHANG) != cli_) return;
  cli_ = 0;
  crash_point("monitor.exit.reaped");
  drain_sources(monotonic_ms());
  crash_point("monitor.exit.drained");
  if (WIFSIGNALED(status)) {
    record(ExitRecord::Kind::kSignalled, WTERMSIG(status));
  } else {
    record(ExitRecord::Kind::kExited, WEXITSTATUS(status));
  }
}

// What is in the pipes when the CLI has ended is all there will be, unless others hold them.
void Monitor::drain_sources(std::int64_t now) {
  const std::int64_t deadline = now + kLinger;
  for (Channel* channel : {&out_, &err_}) {
    while (channel->source() >= 0 && now < deadline) {
      if (!channel->read_source(now) && channel->source() >= 0) {
        pollfd wait{channel->source(), POLLIN, 0};
        if (::poll(&wait, 1, static_cast<int>(deadline - now)) <= 0) break;
      }
      now = monotonic_ms();
    }
    channel->close_source();
  }
}

void Monitor::record(ExitRecord::Kind kind, int value) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  ExitRecord out;
  out.kind = kind;
  out.value = value;
  out.at_ms = static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
  out.stderr_tail.assign(tail, err_.tail_size());
  // A full disk may have room again later; without the record the status would be lost. A removed
  // directory (ENOENT) means that nobody asks for it any more.
  while (!write_exit_record(".", out) && errno != ENOENT && !quit_) {
    timespec pause{1, 0};
    ::nanosleep(&pause, nullptr);
  }
  exited_ = true;
  progress_at_ = monotonic_ms();
  say_all("exit\n");
  crash_point("monitor.exit.said");
}

// --- the plugin
// -----------------------------------------------------------------------------------

void Monitor::accept_client() {
  const int fd = ::accept(listener_.get(), nullptr, nullptr);
  if (fd < 0) return;
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  for (Client& client : clients_) {
    if (client.fd >= 0) continue;
    client = {};
    client.fd = fd;
    char text[48];
    ::snprintf(text, sizeof text, "running %d\n", static_cast<int>(cli_));
    say(client, exited_ ? "exit\n" : text);
    if (said_delivered_) say(client, "delivered\n");
    return;
  }
  ::close(fd);
}

void Monitor::serve(Client& client) {
  const ssize_t size =
      ::read(client.fd, client.line + client.used, sizeof client.line - 1 - client.used);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size > 0) client.used += static_cast<std::size_t>(size);
  client.line[client.used] = '\0';
  while (char* end = ::strchr(client.line, '\n')) {
    *end = '\0';
    obey(client.line);
    const std::size_t length = static_cast<std::size_t>(end - client.line) + 1;
    client.used -= length;
    ::memmove(client.line, end + 1, client.used + 1);
  }
  const bool babble = client.used == sizeof client.line - 1;
  if (size <= 0 || babble) {
    ::close(client.fd);
    client.fd = -1;
  }
}

void Monitor::obey(const char* line) {
  int rows = 0;
  int columns = 0;
  if (::strcmp(line, "quit") == 0) {
    quit_ = true;
    quit_at_ = monotonic_ms();
  } else if (::sscanf(line, "resize %d %d", &rows, &columns) == 2 && terminal_ && rows > 0 &&
             columns > 0 && rows < 10000 && columns < 10000) {
    winsize size{};
    size.ws_row = static_cast<unsigned short>(rows);
    size.ws_col = static_cast<unsigned short>(columns);
    ::ioctl(terminal_.get(), TIOCSWINSZ, &size);  // the kernel tells the CLI
  }
}

void Monitor::say(Client& client, const char* text) {
  const auto size = static_cast<ssize_t>(::strlen(text));
#ifdef MSG_NOSIGNAL
  const ssize_t sent = ::send(client.fd, text, static_cast<std::size_t>(size), MSG_NOSIGNAL);
#else
  const ssize_t sent = ::write(client.fd, text, static_cast<std::size_t>(size));
#endif
  if (sent == size) return;
  ::close(client.fd);  // it reads nothing: it may come back
  client.fd = -1;
}

void Monitor::say_all(const char* text) {
  for (Client& client : clients_) {
    if (client.fd >= 0) say(client, text);
  }
}

// --- the loop
// -------------------------------------------------------------------------------------

int Monitor::wait_time(std::int64_t now) const {
  int wait = -1;
  const auto sooner = [&wait](std::int64_t ms) {
    if (ms >= 0 && (wait < 0 || ms < wait)) wait = static_cast<int>(ms);
  };
  sooner(out_.patience(now));
  sooner(err_.patience(now));
  if (exited_) sooner(now - progress_at_ < 1000 ? 5 : 250);  // until the FIFO is read empty
  if (quit_) sooner(100);
  return wait;
}

bool Monitor::may_end(std::int64_t now) {
  if (quit_) {
    // The container is gone, and with it what the CLI was for.
    if (cli_ > 0 && now - quit_at_ > kQuitPatience) ::kill(cli_, SIGKILL);
    return exited_;
  }
  if (!exited_) return false;
  if (out_.delivered() && err_.delivered()) {
    if (!said_delivered_) say_all("delivered\n");
    said_delivered_ = true;
    crash_point("monitor.end.delivered");
    return true;
  }
  if (now - progress_at_ < kDeliverPatience) return false;
  out_.take_back();
  err_.take_back();
  return true;
}

bool Monitor::step() {
  const std::int64_t before = monotonic_ms();
  if (may_end(before)) return false;
  pollfd fds[6 + kMaxClients];
  nfds_t count = 0;
  const auto add = [&](int fd, short events) {
    fds[count] = {fd, events, 0};
    return count++;
  };
  add(child_signal[0], POLLIN);
  add(listener_.get(), POLLIN);
  Channel* const channels[] = {&out_, &err_};
  for (Channel* channel : channels) {
    add(channel->wants_source(before) ? channel->source() : -1, POLLIN);
    add(channel->wants_sink() ? channel->sink() : -1, POLLOUT);
  }
  for (const Client& client : clients_) add(client.fd, POLLIN);
  if (::poll(fds, count, wait_time(before)) < 0 && errno != EINTR) return false;
  const std::int64_t now = monotonic_ms();
  for (int i = 0; i < 2; ++i) {
    const pollfd& source = fds[2 + 2 * i];
    const pollfd& sink = fds[3 + 2 * i];
    if (source.fd >= 0 && source.revents != 0) channels[i]->read_source(now);
    if (sink.fd >= 0 && sink.revents != 0) {
      channels[i]->write_sink(now);
      progress_at_ = now;
    }
    if (channels[i]->patience(now) == 0 || (exited_ && channels[i]->due(now))) {
      channels[i]->tick(now);
    }
  }
  for (int i = 0; i < kMaxClients; ++i) {
    if (fds[6 + i].fd >= 0 && fds[6 + i].revents != 0) serve(clients_[i]);
  }
  if (fds[1].revents != 0) accept_client();
  if (fds[0].revents != 0) reap();
  return true;
}

int Monitor::run() {
  err_.keep_tail(tail, sizeof tail);
  out_.restore();
  err_.restore();
  progress_at_ = monotonic_ms();
  // Before there is anything to write: when the plugin dies, its ends of the FIFOs close, and a log
  // collector that sees no writer ends for good.
  out_.tick(progress_at_);
  err_.tick(progress_at_);
  if (arguments_.deliver) {
    exited_ = true;
  } else if (!start_cli()) {
    record(ExitRecord::Kind::kNotSpawned, errno);
  }
  while (step()) {
  }
  // A successor for the same name has made both anew.
  struct stat lock {};
  if (::fstat(lock_.get(), &lock) == 0 && lock.st_nlink > 0) ::unlink(arguments_.socket);
  crash_point("monitor.end.unlinked");
  return 0;
}

// It stays in its directory: once that is removed, and made anew for the next start of the same
// name, nothing that this monitor still writes can get there.
void detach_from_caller(const char* directory) {
  ::setsid();
  if (::chdir(directory) != 0) ::_exit(1);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  if (null > 2) ::close(null);
}

}  // namespace

int monitor_main(int argc, char** argv) {
  Arguments arguments;
  if (!read_arguments(argc, argv, arguments)) {
    ::fputs("the monitor is started by the plugin\n", stderr);
    return 1;
  }
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  const int lock = take_lock(arguments);
  if (lock < 0) return complain("lock", arguments.directory);
  crash_point("monitor.start.locked");
  const int listener = listen_on(arguments.socket);
  if (listener < 0) return complain("listen on", arguments.socket);
  crash_point("monitor.start.listening");
  if (::pipe(child_signal) != 0) return complain("make", "a pipe");
  for (const int fd : child_signal) {
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  struct sigaction action {};
  action.sa_handler = on_child;
  action.sa_flags = SA_NOCLDSTOP | SA_RESTART;
  ::sigaction(SIGCHLD, &action, nullptr);
  const pid_t child = ::fork();
  if (child < 0) return complain("start", "the monitor");
  if (child > 0) crash_point("monitor.start.forked");
  if (child > 0) return name_holder(lock, child) ? 0 : complain("write", "the lock");
  detach_from_caller(arguments.directory);
  crash_point("monitor.start.detached");
  Monitor monitor{arguments, lock, listener};
  ::_exit(monitor.run());
}

}  // namespace ndc::runtime
