#include "runtime/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "model/duration.hpp"
#include "runtime/child.hpp"
#include "runtime/uv_handle.hpp"

extern char** environ;

namespace ndc::runtime {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLinger{200};         // for streams that descendants keep open
constexpr milliseconds kKillPatience{1000};  // a killed child that does not end is not waited for

class RunningCommand : public std::enable_shared_from_this<RunningCommand> {
 public:
  RunningCommand(EventLoop& loop, Command command,
                 std::function<void(Expected<CommandResult>)> done)
      : loop_{loop}, command_{std::move(command)}, done_{std::move(done)} {}

  void start();

 private:
  struct Capture {
    UvHandle<uv_pipe_t> pipe;
    std::string bytes;
    bool truncated = false;
  };

  Expected<UniqueFd> connect(const Stdio& stdio, Capture& capture, int& child_fd);
  Expected<int> ask_for(const LateFd& late);
  void read(uv_stream_t* stream, ssize_t count, const char* bytes);
  void exited(ExitStatus status);
  void past_deadline();
  void end_early(Error why);
  void watch_later();
  void finish_if_complete();
  void finish(Expected<CommandResult> result);
  Error timeout_error() const;

  EventLoop& loop_;
  Command command_;
  std::vector<std::shared_ptr<UniqueFd>> asked_;  // until the spawn
  std::function<void(Expected<CommandResult>)> done_;
  Capture out_;
  Capture err_;
  std::array<char, 64 * 1024> buffer_;
  std::weak_ptr<Child> child_;  // the child holds us
  std::optional<ExitStatus> status_;
  std::optional<Error> ended_early_;
  std::shared_ptr<EventLoop::Timer> deadline_;
  std::shared_ptr<EventLoop::Timer> watch_timer_;
  std::shared_ptr<EventLoop::Timer> linger_;
};

Expected<int> RunningCommand::ask_for(const LateFd& late) {
  asked_.push_back(late());
  if (asked_.back()) return asked_.back()->get();
  return fail({ErrorCode::kRuntimeUnavailable,
               "run",
               command_name(command_.argv),
               "a descriptor that it is to get is closed",
               {}});
}

// Connects one output stream and returns the end to close after the spawn, if there is one.
Expected<UniqueFd> RunningCommand::connect(const Stdio& stdio, Capture& capture, int& child_fd) {
  if (stdio.kind == Stdio::Kind::kNull) return UniqueFd{};
  if (stdio.kind == Stdio::Kind::kFd) {
    auto fd = ask_for(stdio.fd);
    if (!fd) return fail(std::move(fd.error()));
    child_fd = *fd;
    return UniqueFd{};
  }
  uv_file fds[2];
  // A real pipe, not libuv's socket pair: a child can open /dev/stdout only on a pipe.
  int error = uv_pipe(fds, UV_NONBLOCK_PIPE, 0);
  if (error == 0) {
    UniqueFd ours{fds[0]};
    UniqueFd theirs{fds[1]};
    error = capture.pipe.open(loop_.uv(), shared_from_this(), [](uv_loop_t* loop, uv_pipe_t* pipe) {
      return uv_pipe_init(loop, pipe, 0);
    });
    if (error == 0) error = uv_pipe_open(capture.pipe.get(), ours.get());
    if (error == 0) {
      ours.release();
      child_fd = theirs.get();
      return theirs;
    }
  }
  // For want of descriptors: later there may be some.
  return fail({ErrorCode::kRuntimeUnavailable,
               "run",
               command_name(command_.argv),
               std::string{"pipe: "} + uv_strerror(error),
               {}});
}

void RunningCommand::start() {
  SpawnPlan plan;
  plan.argv = command_.argv;
  plan.environment = std::move(command_.environment);
  plan.directory = command_.directory;
  plan.ends_with_loop = command_.ends_with_loop;
  if (command_.in) plan.fds[0] = command_.in->get();
  if (command_.extra_fd) plan.fds[3] = command_.extra_fd->get();
  for (std::size_t i = 0; i < command_.held_fds.size(); ++i) {
    if (!command_.held_fds[i]) continue;
    auto fd = ask_for(command_.held_fds[i]);
    if (!fd) return finish(fail(std::move(fd.error())));
    plan.held[i] = *fd;
  }

  auto out_end = connect(command_.out, out_, plan.fds[1]);
  if (!out_end) return finish(fail(std::move(out_end.error())));
  auto err_end = connect(command_.err, err_, plan.fds[2]);
  if (!err_end) return finish(fail(std::move(err_end.error())));

  auto child = Child::spawn(loop_, plan, [self = shared_from_this()](ExitStatus status) {
    self->exited(std::move(status));
  });
  command_.in.reset();
  command_.out.fd = nullptr;
  command_.err.fd = nullptr;
  command_.extra_fd.reset();
  command_.held_fds = {};
  asked_.clear();
  if (!child) return finish(fail(std::move(child.error())));
  child_ = *child;

  for (Capture* capture : {&out_, &err_}) {
    if (!capture->pipe) continue;
    uv_read_start(
        capture->pipe.stream(),
        [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
          const auto self = owner_of<RunningCommand>(handle);
          *buffer = uv_buf_init(self->buffer_.data(), static_cast<unsigned>(self->buffer_.size()));
        },
        [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
          if (const auto self = owner_of<RunningCommand>(stream)) {
            self->read(stream, count, buffer->base);
          }
        });
  }
  if (command_.timeout > std::chrono::nanoseconds::zero()) {
    deadline_ =
        loop_.after(command_.timeout, [self = shared_from_this()] { self->past_deadline(); });
  }
  if (command_.watch) watch_later();
}

void RunningCommand::watch_later() {
  watch_timer_ = loop_.after(command_.watch_interval, [self = shared_from_this()] {
    const auto child = self->child_.lock();
    if (!child || child->pid() == 0 || self->ended_early_) return;
    if (auto error = self->command_.watch(child->pid())) {
      self->end_early(std::move(*error));
    } else {
      self->watch_later();
    }
  });
}

void RunningCommand::read(uv_stream_t* stream, ssize_t count, const char* bytes) {
  Capture& capture = stream == out_.pipe.stream() ? out_ : err_;
  if (count > 0) {
    const auto size = static_cast<std::size_t>(count);
    const std::size_t room = command_.capture_limit - capture.bytes.size();
    capture.bytes.append(bytes, std::min(size, room));
    if (size > room) capture.truncated = true;
  } else if (count < 0) {
    capture.pipe.close();
    finish_if_complete();
  }
}

void RunningCommand::exited(ExitStatus status) {
  if (!done_) return;  // answered already, and the killed child has ended at last
  status_ = std::move(status);
  if (ended_early_) return finish(fail(*ended_early_));
  deadline_.reset();
  watch_timer_.reset();
  linger_ = loop_.after(kLinger, [self = shared_from_this()] {
    self->out_.pipe.close();
    self->err_.pipe.close();
    self->finish_if_complete();
  });
  finish_if_complete();
}

void RunningCommand::past_deadline() { end_early(timeout_error()); }

void RunningCommand::end_early(Error why) {
  if (status_ || ended_early_) return;
  ended_early_ = std::move(why);
  if (const auto child = child_.lock()) child->kill_group();
  linger_ = loop_.after(kKillPatience,
                        [self = shared_from_this()] { self->finish(fail(*self->ended_early_)); });
}

void RunningCommand::finish_if_complete() {
  if (!status_ || ended_early_ || out_.pipe || err_.pipe) return;
  CommandResult result{std::move(*status_), std::move(out_.bytes), std::move(err_.bytes),
                       out_.truncated || err_.truncated};
  finish(std::move(result));
}

void RunningCommand::finish(Expected<CommandResult> result) {
  const auto self = shared_from_this();  // timers and pipes below may hold the last references
  deadline_.reset();
  watch_timer_.reset();
  command_.watch = nullptr;
  linger_.reset();
  out_.pipe.close();
  err_.pipe.close();
  if (const auto done = std::exchange(done_, nullptr)) done(std::move(result));
}

Error RunningCommand::timeout_error() const {
  return {ErrorCode::kTimeout,
          "run",
          command_name(command_.argv),
          "no answer within " + format_duration(command_.timeout) + "; killed",
          {}};
}

}  // namespace

void run_command(EventLoop& loop, Command command,
                 std::function<void(Expected<CommandResult>)> done) {
  auto running = std::make_shared<RunningCommand>(loop, std::move(command), std::move(done));
  loop.post([running = std::move(running)] { running->start(); });
}

Expected<std::shared_ptr<UniqueFd>> input_pipe(const std::string& bytes) {
  constexpr std::size_t kMaxInput = 4096;  // what every pipe holds
  const auto error = [](std::string cause, ErrorCode code = ErrorCode::kRuntimeUnavailable) {
    return fail(Error{code, "prepare input", {}, std::move(cause), {}});
  };
  if (bytes.size() > kMaxInput) return error("it is longer than 4 KiB", ErrorCode::kInternal);
  uv_file fds[2];
  if (const int failed = uv_pipe(fds, 0, UV_NONBLOCK_PIPE); failed != 0) {
    return error(std::string{"pipe: "} + uv_strerror(failed));
  }
  auto ours = std::make_shared<UniqueFd>(fds[0]);
  const UniqueFd theirs{fds[1]};
  const ssize_t written = ::write(theirs.get(), bytes.data(), bytes.size());
  if (written != static_cast<ssize_t>(bytes.size())) return error(std::strerror(errno));
  return ours;
}

std::vector<std::string> child_environment(const std::vector<std::string_view>& names,
                                           const std::vector<std::string_view>& prefixes) {
  static const std::vector<std::string_view> usual_names{
      "HOME", "PATH", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANG", "TZ",  //
      "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",                //
      "http_proxy", "https_proxy", "no_proxy", "all_proxy",
      // Of tests, as are some of the prefixes: sanitizers and a preloaded clock.
      "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LD_PRELOAD",
      "NO_FAKE_STAT"};
  static const std::vector<std::string_view> usual_prefixes{"LC_", "FAKETIME", "NDC_"};
  const auto has = [](const std::vector<std::string_view>& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  const auto begins = [](const std::vector<std::string_view>& list, std::string_view name) {
    return std::any_of(list.begin(), list.end(),
                       [name](std::string_view prefix) { return name.starts_with(prefix); });
  };
  std::vector<std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view variable{*entry};
    const std::string_view name = variable.substr(0, variable.find('='));
    if (has(usual_names, name) || begins(usual_prefixes, name) || has(names, name) ||
        begins(prefixes, name)) {
      out.emplace_back(variable);
    }
  }
  return out;
}

void keep_descriptors_from_children() {
  DIR* directory = ::opendir("/dev/fd");
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    const int fd = std::atoi(entry->d_name);  // 0 for "." and ".."
    if (fd < 3) continue;
    if (const int flags = ::fcntl(fd, F_GETFD); flags >= 0) {
      ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    }
  }
  ::closedir(directory);
}

void allow_more_descriptors() {
  // Some 16,000 tasks; and what macOS takes at most where the hard limit is "unlimited" (OPEN_MAX).
  for (const rlim_t wanted : {rlim_t{65536}, rlim_t{10240}}) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    const rlim_t most = std::min(wanted, limit.rlim_max);
    if (limit.rlim_cur >= most) return;
    limit.rlim_cur = most;
    if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
  }
}

}  // namespace ndc::runtime
