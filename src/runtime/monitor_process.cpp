#include "runtime/monitor_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
#include "runtime/monitor_cli.hpp"
#include "runtime/monitor_clients.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/monitor_lines.hpp"
#include "runtime/monitor_poll.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

constexpr std::int64_t kLinger = 500;               // ms for output that others keep open
constexpr int kDrainReads = 256;                    // of up to 32 KiB: far more than a pipe holds
constexpr std::int64_t kDeliverPatience = 600'000;  // ms without a taker, after the task's end
constexpr std::int64_t kUnwantedPatience = 2'000;   // the same, once its directory is gone
constexpr std::int64_t kQuitPatience = 5000;        // ms for the CLI, once its container is gone
constexpr std::int64_t kWantedCheck = 10'000;       // between looks whether it is still wanted
constexpr std::int64_t kRecordAgain = 1000;         // ms between two tries on a full disk
constexpr std::int64_t kSyncDelay = 20;             // ms for the collector to take the last bytes
constexpr std::size_t kTail = 2048;

struct Arguments {
  const char* directory = nullptr;
  const char* socket = nullptr;
  const char* out = nullptr;
  const char* err = nullptr;
  std::uint64_t limit = 0;
  MonitorStreams streams = MonitorStreams::kPipes;
  bool deliver = false;
  char** command = nullptr;
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
    if (::strcmp(argv[i], kMonitorTerminal) == 0) {
      out.streams = MonitorStreams::kTerminal;
    } else if (::strcmp(argv[i], kMonitorStdin) == 0) {
      out.streams = MonitorStreams::kPipesAndStdin;
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

// By the caller's process, so that the name is there when it returns. Not on a full disk.
bool name_holder(int lock, pid_t holder) {
  char pid[32];
  const int size = ::snprintf(pid, sizeof pid, "%d\n", static_cast<int>(holder));
  return ::ftruncate(lock, 0) == 0 &&
         ::pwrite(lock, pid, static_cast<std::size_t>(size), 0) == size;
}

class Monitor final : MonitorClients::Orders {
 public:
  Monitor(const Arguments& arguments, int lock, int listener)
      : arguments_{arguments},
        lock_{lock},
        clients_{listener},
        out_{arguments.out, kMonitorSpoolOut, arguments.limit},
        err_{arguments.err, kMonitorSpoolErr, arguments.limit} {}

  int run();

 private:
  bool step();
  int wait_time(std::int64_t now) const;
  void reap();
  void drain_sources();
  Channel& error_output() { return arguments_.streams == MonitorStreams::kTerminal ? out_ : err_; }
  void record(ExitRecord::Kind kind, int value);
  void write_record(std::int64_t now);
  void sync(std::int64_t now);
  bool may_end(std::int64_t now);
  bool unwanted() const;
  void greet();
  void obey(const char* line) override;

  const Arguments& arguments_;
  UniqueFd lock_;
  MonitorClients clients_;
  Channel out_;
  Channel err_;
  AttachedCli cli_;
  ExitRecord record_;
  bool ended_ = false;   // the CLI has
  bool exited_ = false;  // the record tells how
  std::int64_t write_at_ = 0;
  bool unsynced_ = false;
  std::int64_t sync_at_ = 0;
  bool said_delivered_ = false;
  bool keep_ = false;
  bool quit_ = false;
  std::int64_t quit_at_ = 0;
  std::int64_t progress_at_ = 0;
};

// --- the CLI
// --------------------------------------------------------------------------------------

void Monitor::reap() {
  char drained[64];
  while (::read(child_signal[0], drained, sizeof drained) > 0) {
  }
  int status = 0;
  if (!cli_.reap(status)) return;
  crash_point("monitor.exit.reaped");
  drain_sources();
  crash_point("monitor.exit.drained");
  if (WIFSIGNALED(status)) {
    record(ExitRecord::Kind::kSignalled, WTERMSIG(status));
  } else {
    record(ExitRecord::Kind::kExited, WEXITSTATUS(status));
  }
}

// What the source holds already, without waiting. A pipe is empty after a few reads, unless others
// go on writing to it.
void read_waiting(Channel& channel) {
  for (int reads = 0; reads < kDrainReads && channel.source() >= 0; ++reads) {
    if (!channel.read_source(monotonic_ms())) return;
  }
}

// What is in the pipes when the CLI has ended is all there will be, unless others hold them: only
// for those is there a deadline. However slow the disk is, what waits in a pipe is not dropped.
void Monitor::drain_sources() {
  Channel* const channels[] = {&out_, &err_};
  for (Channel* channel : channels) read_waiting(*channel);
  const std::int64_t deadline = monotonic_ms() + kLinger;
  for (std::int64_t now = deadline - kLinger; now < deadline; now = monotonic_ms()) {
    pollfd fds[2];
    for (int i = 0; i < 2; ++i) {
      fds[i] = {channels[i]->holds() ? -1 : channels[i]->source(), POLLIN, 0};
    }
    if (fds[0].fd < 0 && fds[1].fd < 0) break;
    const int ready = poll_or_pause(fds, 2, static_cast<int>(deadline - now));
    for (int i = 0; i < 2; ++i) {
      if (ready < 0 || fds[i].revents != 0) read_waiting(*channels[i]);
    }
  }
  for (Channel* channel : channels) {
    if (!channel->holds()) channel->close_source();  // else the rest waits in the pipe
  }
}

// Said as soon as it can be read: the disk may take its time (sync()).
void Monitor::record(ExitRecord::Kind kind, int value) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  record_.kind = kind;
  record_.value = value;
  record_.at_ms = static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
  record_.stderr_tail.assign(tail, error_output().tail_size());
  ended_ = true;
  write_record(monotonic_ms());
}

// A full disk may have room again later; without the record the status would be lost. A removed
// directory (ENOENT) means that nobody asks for it any more.
void Monitor::write_record(std::int64_t now) {
  if (!write_exit_record(".", record_) && errno != ENOENT) {
    write_at_ = now + kRecordAgain;
    return;
  }
  exited_ = true;
  unsynced_ = true;
  progress_at_ = now;
  sync_at_ = progress_at_ + kSyncDelay;
  clients_.say_all("exit\n");
  crash_point("monitor.exit.said");
}

// The monitor stays until this is done. Only a host that goes down before loses the record, and
// then the exit is unknown.
void Monitor::sync(std::int64_t now) {
  unsynced_ = !sync_exit_record(".") && errno != ENOENT;
  if (!unsynced_) return;
  write_exit_record(".", record_);
  sync_at_ = now + 1000;
}

// --- the plugin
// -----------------------------------------------------------------------------------

void Monitor::greet() {
  char text[48];
  ::snprintf(text, sizeof text, "running %d\n", static_cast<int>(cli_.pid()));
  if (said_delivered_) return clients_.accept("exit\ndelivered\n");
  clients_.accept(exited_ ? "exit\n" : text);
}

void Monitor::obey(const char* line) {
  const MonitorOrder order = parse_monitor_order(line);
  switch (order.kind) {
    case MonitorOrder::Kind::kKeep:
      keep_ = true;
      return;
    case MonitorOrder::Kind::kQuit:
      quit_ = true;
      quit_at_ = monotonic_ms();
      return;
    case MonitorOrder::Kind::kResize:
      return cli_.resize(order.rows, order.columns);
    case MonitorOrder::Kind::kNone:
      return;
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
  if (exited_) {  // until the FIFO is read empty, which nothing tells
    const std::int64_t since = now - progress_at_;
    sooner(since < 50 ? 1 : since < 1000 ? 5 : 250);
  }
  if (quit_) sooner(100);
  if (ended_ && !exited_) sooner(std::max<std::int64_t>(0, write_at_ - now));
  if (!ended_) sooner(kWantedCheck);
  return wait;
}

bool Monitor::may_end(std::int64_t now) {
  // Who removed the directory may not have been able to say so, and a CLI that hangs never ends.
  if (!quit_ && !ended_ && unwanted()) {
    quit_ = true;
    quit_at_ = now;
  }
  if (quit_) {
    // The container is gone, and with it what the CLI was for.
    if (now - quit_at_ > kQuitPatience) cli_.kill();
    if (ended_ && keep_ && !unwanted()) {
      out_.keep();
      err_.keep();
    }
    return ended_;
  }
  if (ended_ && !exited_ && now >= write_at_) write_record(now);
  if (!exited_) return false;
  const bool delivered = out_.delivered() && err_.delivered();
  if (delivered && !said_delivered_) {
    out_.finish();
    err_.finish();
    clients_.say_all("delivered\n");
    said_delivered_ = true;
    sync_at_ = now;
    crash_point("monitor.end.delivered");
  }
  // Nomad is told of the exit once the output is delivered, and need not wait for the disk.
  if (unsynced_ && now >= sync_at_) sync(now);
  if (delivered) return !unsynced_;
  // Who removed the directory wants no more of this task; what would be left in it nobody finds.
  if (unwanted()) return now - progress_at_ >= kUnwantedPatience;
  if (now - progress_at_ < kDeliverPatience) return false;
  const bool all = out_.take_back();
  return err_.take_back() && all;
}

bool Monitor::unwanted() const {
  struct stat lock {};
  return ::fstat(lock_.get(), &lock) == 0 && lock.st_nlink == 0;
}

bool Monitor::step() {
  const std::int64_t before = monotonic_ms();
  if (may_end(before)) return false;
  Channel* const channels[] = {&out_, &err_};
  pollfd fds[1 + 4 + MonitorClients::kPolled];
  fds[0] = {child_signal[0], POLLIN, 0};
  for (int i = 0; i < 2; ++i) {
    const Channel& channel = *channels[i];
    fds[1 + 2 * i] = {channel.wants_source(before) ? channel.source() : -1, POLLIN, 0};
    fds[2 + 2 * i] = {channel.wants_sink() ? channel.sink() : -1, POLLOUT, 0};
  }
  pollfd* const clients = fds + 5;
  clients_.fill(clients);
  const int ready = poll_or_pause(fds, sizeof fds / sizeof *fds, wait_time(before));
  const std::int64_t now = monotonic_ms();
  for (int i = 0; i < 2; ++i) {
    const pollfd& source = fds[1 + 2 * i];
    const pollfd& sink = fds[2 + 2 * i];
    if (source.fd >= 0 && source.revents != 0) channels[i]->read_source(now);
    if (sink.fd >= 0 && sink.revents != 0) {
      channels[i]->write_sink(now);
      progress_at_ = now;
    }
    if (channels[i]->patience(now) == 0 || (exited_ && channels[i]->due(now))) {
      channels[i]->tick(now);
    }
  }
  if (clients_.serve(clients, *this)) greet();
  // A poll that fails does not tell of the CLI's end, and nobody else would.
  if (ready < 0 || fds[0].revents != 0) reap();
  return true;
}

int Monitor::run() {
  error_output().keep_tail(tail, sizeof tail);
  out_.restore();
  err_.restore();
  progress_at_ = monotonic_ms();
  // Before there is anything to write: when the plugin dies, its ends of the FIFOs close, and a log
  // collector that sees no writer ends for good.
  out_.tick(progress_at_);
  err_.tick(progress_at_);
  if (arguments_.deliver) {
    ended_ = exited_ = true;
  } else if (!cli_.start(arguments_.command, arguments_.streams, out_, err_)) {
    record(ExitRecord::Kind::kNotSpawned, errno);
  }
  while (step()) {
  }
  // A successor for the same name has made both anew.
  if (!unwanted()) ::unlink(arguments_.socket);
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

bool make_pipe(int (&ends)[2]) {
  if (::pipe(ends) != 0) return false;
  for (const int fd : ends) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return true;
}

// False at the pipe's end: the caller's process was killed, or gave up.
bool await_word(int from) {
  char word = 0;
  ssize_t got = 0;
  do {
    got = ::read(from, &word, 1);
  } while (got < 0 && errno == EINTR);
  return got == 1;
}

// The caller's process lets the monitor go on once it is named. Where the answer is not 0, nothing
// has been started and nobody is left. One that has been killed by then the plugin misses itself.
int release(pid_t monitor, int lock, int word) {
  const bool named = name_holder(lock, monitor);
  const int answer = named && ::write(word, "g", 1) == 1 ? 0 : complain("write", "the lock");
  ::close(word);
  if (answer != 0) ::waitpid(monitor, nullptr, 0);
  return answer;
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
  int word[2];
  if (!make_pipe(child_signal) || !make_pipe(word)) return complain("make", "a pipe");
  for (const int fd : child_signal) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = on_child;
  action.sa_flags = SA_NOCLDSTOP | SA_RESTART;
  ::sigaction(SIGCHLD, &action, nullptr);
  const pid_t child = ::fork();
  if (child < 0) return complain("start", "the monitor");
  if (child > 0) crash_point("monitor.start.forked");
  if (child > 0) return release(child, lock, word[1]);
  ::close(word[1]);
  detach_from_caller(arguments.directory);
  if (!await_word(word[0])) ::_exit(1);
  ::close(word[0]);
  crash_point("monitor.start.detached");
  Monitor monitor{arguments, lock, listener};
  ::_exit(monitor.run());
}

}  // namespace ndc::runtime
