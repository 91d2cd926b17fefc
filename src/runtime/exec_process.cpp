#include "runtime/exec_process.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "model/duration.hpp"
#include "runtime/child.hpp"
#include "runtime/pty.hpp"
#include "runtime/read_ahead.hpp"
#include "runtime/uv_handle.hpp"

namespace ndc::runtime {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLinger{200};         // for output that descendants keep open
constexpr milliseconds kKillPatience{1000};  // a killed child that does not end is not waited for
constexpr std::size_t kErrTail = 4096;
constexpr std::size_t kPiece = 32 * 1024;
// A terminal tells no more than the 4 KiB of its line discipline; what is behind them is not more
// than this.
constexpr std::size_t kTerminalHolds = 64u << 10;
constexpr char kEndOfTransmission = 4;  // Ctrl-D

// The client's right to ask for more output. Calling it or dropping it both count, once.
class TakenToken {
 public:
  TakenToken(EventLoop::Poster post, std::function<void()> resume)
      : post_{std::move(post)}, resume_{std::move(resume)} {}
  TakenToken(const TakenToken&) = delete;
  TakenToken& operator=(const TakenToken&) = delete;
  ~TakenToken() { use(); }
  void use() {
    if (!used_.exchange(true)) post_(std::exchange(resume_, nullptr));
  }

 private:
  EventLoop::Poster post_;
  std::function<void()> resume_;
  std::atomic<bool> used_{false};
};

class RunningExec : public std::enable_shared_from_this<RunningExec> {
 public:
  RunningExec(EventLoop& loop, const ExecRequest& request, std::shared_ptr<ExecClient> client,
              ExecProcessOptions options)
      : loop_{loop},
        client_{std::move(client)},
        options_{std::move(options)},
        tty_{request.tty},
        timeout_{request.timeout} {}

  Expected<void> start(Command command);
  void write(std::string bytes, std::function<void()> taken);
  void close_stdin();
  void resize(TerminalSize size);
  void end_early(Error reason);

 private:
  struct Output {
    OutputStream name = OutputStream::kStdout;
    UvHandle<uv_pipe_t> own;              // pipes only; a terminal is read through in_
    UvHandle<uv_pipe_t>* pipe = nullptr;  // where to read
    bool open = false;
    bool reading = false;
    bool with_client = false;  // bytes handed over, not taken yet
    ReadAhead ahead{kPiece};
    std::optional<std::size_t> remaining;  // after the linger: what may still be read
  };
  struct Input {
    uv_write_t request{};
    std::string bytes;
    std::function<void()> taken;
    std::shared_ptr<RunningExec> exec;
  };

  Expected<void> connect_pipes(std::array<UniqueFd, 3>& child_ends);
  Expected<void> connect_terminal(std::array<UniqueFd, 3>& child_ends);
  int adopt(UvHandle<uv_pipe_t>& handle, UniqueFd fd);
  void resume(Output& output);
  void pause(Output& output);
  void read(Output& output, ssize_t count, const char* bytes);
  void keep(Output& output, std::string_view bytes);
  void hand_over(Output& output);
  void close(Output& output);
  void stop_lingering();
  void limit_or_close(Output& output);
  static std::size_t waiting(const Output& output);
  void write_now(std::string bytes, std::function<void()> taken);
  void written();
  void exited(ExitStatus status);
  void finish_if_complete();
  void finish(Expected<ExitStatus> status);
  Output& output_of(uv_stream_t* stream) {
    return outputs_[1].pipe != nullptr && stream == outputs_[1].pipe->stream() ? outputs_[1]
                                                                               : outputs_[0];
  }

  EventLoop& loop_;
  std::shared_ptr<ExecClient> client_;
  ExecProcessOptions options_;
  bool tty_;
  std::optional<std::chrono::nanoseconds> timeout_;
  std::string name_;
  UvHandle<uv_pipe_t> in_;
  std::array<Output, 2> outputs_;
  std::array<char, kPiece> buffer_;
  std::string err_tail_;
  std::size_t writes_pending_ = 0;
  bool close_stdin_ = false;
  bool at_line_start_ = true;   // of what was written to a terminal
  std::weak_ptr<Child> child_;  // the child holds us
  std::optional<ExitStatus> status_;
  std::optional<Error> ended_early_;
  std::shared_ptr<EventLoop::Timer> deadline_;
  std::shared_ptr<EventLoop::Timer> linger_;
};

// ---- starting
// ------------------------------------------------------------------------------------

int RunningExec::adopt(UvHandle<uv_pipe_t>& handle, UniqueFd fd) {
  int error = handle.open(loop_.uv(), shared_from_this(), [](uv_loop_t* loop, uv_pipe_t* pipe) {
    return uv_pipe_init(loop, pipe, 0);
  });
  if (error == 0) error = uv_pipe_open(handle.get(), fd.get());
  if (error == 0) fd.release();
  return error;
}

Expected<void> RunningExec::connect_pipes(std::array<UniqueFd, 3>& child_ends) {
  for (std::size_t i = 0; i < child_ends.size(); ++i) {
    uv_file fds[2];
    // Real pipes, not socket pairs: a child can open /dev/stdin only on a pipe.
    int error = uv_pipe(fds, i == 0 ? 0 : UV_NONBLOCK_PIPE, i == 0 ? UV_NONBLOCK_PIPE : 0);
    if (error == 0) {
      child_ends[i] = UniqueFd{fds[i == 0 ? 0 : 1]};
      UniqueFd ours{fds[i == 0 ? 1 : 0]};
      error = adopt(i == 0 ? in_ : outputs_[i - 1].own, std::move(ours));
    }
    if (error != 0) {
      return fail({ErrorCode::kRuntimeUnavailable,
                   "exec",
                   name_,
                   std::string{"pipe: "} + uv_strerror(error),
                   {}});
    }
  }
  outputs_[1].name = OutputStream::kStderr;
  for (Output& output : outputs_) {
    output.pipe = &output.own;
    output.open = true;
  }
  return {};
}

Expected<void> RunningExec::connect_terminal(std::array<UniqueFd, 3>& child_ends) {
  auto pty = open_pty(options_.terminal);
  if (!pty) return fail(std::move(pty.error()));
  set_size(pty->master.get(), {24, 80});  // until the client tells its own
  if (const int error = adopt(in_, std::move(pty->master)); error != 0) {
    return fail({ErrorCode::kRuntimeUnavailable,
                 "exec",
                 name_,
                 std::string{"terminal: "} + uv_strerror(error),
                 {}});
  }
  child_ends[0] = std::move(pty->slave);
  outputs_[0].pipe = &in_;
  outputs_[0].open = true;
  return {};
}

Expected<void> RunningExec::start(Command command) {
  name_ = command_name(command.argv);
  std::array<UniqueFd, 3> child_ends;
  auto connected = tty_ ? connect_terminal(child_ends) : connect_pipes(child_ends);
  Expected<std::shared_ptr<Child>> child{nullptr};
  if (connected) {
    SpawnPlan plan;
    plan.argv = std::move(command.argv);
    plan.environment = std::move(command.environment);
    plan.directory = std::move(command.directory);
    plan.controlling_terminal = tty_;
    for (std::size_t i = 0; i < child_ends.size(); ++i) plan.fds[i] = child_ends[i].get();
    if (command.extra_fd) plan.fds[3] = command.extra_fd->get();
    child = Child::spawn(loop_, plan, [self = shared_from_this()](ExitStatus status) {
      self->exited(std::move(status));
    });
  } else {
    child = fail(std::move(connected.error()));
  }
  if (!child) {
    in_.close();
    for (Output& output : outputs_) output.own.close();
    client_.reset();
    return fail(std::move(child.error()));
  }
  child_ = *child;
  for (Output& output : outputs_) resume(output);
  if (timeout_) {
    deadline_ = loop_.after(*timeout_, [self = shared_from_this()] {
      self->end_early({ErrorCode::kTimeout,
                       "exec",
                       self->name_,
                       "not finished within " + format_duration(*self->timeout_) + "; killed",
                       {}});
    });
  }
  return {};
}

// ---- output
// --------------------------------------------------------------------------------------

void RunningExec::resume(Output& output) {
  if (!output.open || output.reading || output.ahead.full()) return;
  output.reading = true;
  const int error = uv_read_start(
      output.pipe->stream(),
      [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
        const auto self = owner_of<RunningExec>(handle);
        *buffer = uv_buf_init(self->buffer_.data(), static_cast<unsigned>(self->buffer_.size()));
      },
      [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
        if (const auto self = owner_of<RunningExec>(stream)) {
          self->read(self->output_of(stream), count, buffer->base);
        }
      });
  if (error != 0) close(output);
}

void RunningExec::pause(Output& output) {
  if (std::exchange(output.reading, false)) uv_read_stop(output.pipe->stream());
}

void RunningExec::read(Output& output, ssize_t count, const char* bytes) {
  if (count == 0) return;
  if (count < 0) {  // EOF; EIO is a terminal's way to say it
    output.reading = false;
    // libuv takes a hang-up after a short read for the end, and a terminal reads no other way.
    if (tty_ && waiting(output) > 0) return resume(output);
    close(output);
    return finish_if_complete();
  }
  auto size = static_cast<std::size_t>(count);
  if (output.remaining) {
    size = std::min(size, *output.remaining);
    *output.remaining -= size;
  }
  keep(output, {bytes, size});
  if (output.ahead.full()) pause(output);
  if (output.remaining && (*output.remaining == 0 || (tty_ && waiting(output) == 0))) close(output);
  hand_over(output);
}

void RunningExec::keep(Output& output, std::string_view bytes) {
  if (output.name == OutputStream::kStderr || tty_) {
    err_tail_ += bytes;
    if (err_tail_.size() > kErrTail) err_tail_.erase(0, err_tail_.size() - kErrTail);
  }
  output.ahead.keep(bytes);
}

void RunningExec::hand_over(Output& output) {
  if (output.with_client || output.ahead.empty()) return;
  output.with_client = true;
  auto token = std::make_shared<TakenToken>(loop_.poster(), [weak = weak_from_this(), &output] {
    const auto self = weak.lock();
    if (!self || !self->client_) return;
    output.with_client = false;
    self->hand_over(output);
    self->resume(output);
    self->finish_if_complete();
  });
  client_->output(output.name, output.ahead.take(), [token] { token->use(); });
}

void RunningExec::close(Output& output) {
  output.open = false;
  pause(output);
  if (output.pipe == &output.own) output.own.close();  // a terminal may still take input
}

void RunningExec::stop_lingering() {
  for (Output& output : outputs_) limit_or_close(output);
  finish_if_complete();
}

// The child has ended but something else holds this stream: what is there now is still read, what
// comes later is not.
void RunningExec::limit_or_close(Output& output) {
  if (!output.open) return;
  output.remaining = waiting(output);
  if (output.remaining == std::size_t{0}) return close(output);
  if (tty_) output.remaining = kTerminalHolds;
}

// Bytes that can be read now.
std::size_t RunningExec::waiting(const Output& output) {
  pollfd look{-1, POLLIN, 0};
  uv_fileno(reinterpret_cast<uv_handle_t*>(output.pipe->get()), &look.fd);
  // poll() waits for what a terminal is still moving to its reader; FIONREAD would not count it.
  ::poll(&look, 1, 0);
  int bytes = 0;
  return ::ioctl(look.fd, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

// ---- input
// ---------------------------------------------------------------------------------------

void RunningExec::write(std::string bytes, std::function<void()> taken) {
  if (!in_ || close_stdin_ || status_ || bytes.empty()) {
    if (taken) taken();
    return;
  }
  at_line_start_ = bytes.back() == '\n' || bytes.back() == '\r';
  write_now(std::move(bytes), std::move(taken));
}

void RunningExec::write_now(std::string bytes, std::function<void()> taken) {
  auto* input = new Input{{}, std::move(bytes), std::move(taken), shared_from_this()};
  input->request.data = input;
  const uv_buf_t buffer =
      uv_buf_init(input->bytes.data(), static_cast<unsigned>(input->bytes.size()));
  ++writes_pending_;
  const auto done = [](uv_write_t* request, int) {
    const std::unique_ptr<Input> finished{static_cast<Input*>(request->data)};
    if (finished->taken) finished->taken();  // also after an error: the command reads no more
    finished->exec->written();
  };
  if (const int error = uv_write(&input->request, in_.stream(), &buffer, 1, done); error != 0) {
    done(&input->request, error);
  }
}

void RunningExec::written() {
  --writes_pending_;
  if (close_stdin_ && !tty_ && writes_pending_ == 0) in_.close();
}

void RunningExec::close_stdin() {
  if (!in_ || close_stdin_) return;
  close_stdin_ = true;
  if (tty_) {
    // A terminal has no end; the line discipline makes one of Ctrl-D. Inside a line the first only
    // hands over the line.
    if (!status_) write_now(std::string(at_line_start_ ? 1 : 2, kEndOfTransmission), {});
  } else if (writes_pending_ == 0) {
    in_.close();
  }
}

void RunningExec::resize(TerminalSize size) {
  uv_os_fd_t fd = -1;
  if (!tty_ || !in_ || size.rows <= 0 || size.columns <= 0) return;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(in_.get()), &fd) == 0) set_size(fd, size);
}

// ---- ending
// --------------------------------------------------------------------------------------

void RunningExec::end_early(Error reason) {
  if (!client_ || ended_early_) return;
  const auto self = shared_from_this();
  ended_early_ = std::move(reason);
  if (options_.terminate_inside) options_.terminate_inside();
  if (status_) return finish(fail(std::move(*ended_early_)));  // only the client was slow
  if (const auto child = child_.lock()) child->kill_group();
  linger_ = loop_.after(kKillPatience, [self] { self->finish(fail(*self->ended_early_)); });
}

void RunningExec::exited(ExitStatus status) {
  if (!client_) return;
  status_ = std::move(status);
  if (ended_early_) return finish(fail(*ended_early_));
  linger_ = loop_.after(kLinger, [self = shared_from_this()] { self->stop_lingering(); });
  finish_if_complete();
}

void RunningExec::finish_if_complete() {
  if (!client_ || !status_ || ended_early_) return;
  for (const Output& output : outputs_) {
    if (output.open || output.with_client || !output.ahead.empty()) return;
  }
  if (options_.interpret) {
    // The child is an engine's CLI: its own death says nothing of the command.
    if (const auto* died = std::get_if<Signalled>(&*status_)) {
      return finish(fail({ErrorCode::kRuntimeUnavailable,
                          "exec",
                          name_,
                          "ended by signal " + std::to_string(died->signal) +
                              " before it told how the command ended",
                          {}}));
    }
    return finish(options_.interpret(*status_, err_tail_));
  }
  finish(*status_);
}

void RunningExec::finish(Expected<ExitStatus> status) {
  const auto self = shared_from_this();  // the handles below may hold the last references
  deadline_.reset();
  linger_.reset();
  in_.close();
  for (Output& output : outputs_) {
    output.open = false;
    output.own.close();
  }
  options_ = {};
  if (const auto client = std::exchange(client_, nullptr)) client->finished(std::move(status));
}

// What the caller holds: forwards to the loop thread, where the exec may have ended meanwhile.
class SessionHandle final : public ExecSession {
 public:
  SessionHandle(EventLoop::Poster post, const std::shared_ptr<RunningExec>& exec)
      : post_{std::move(post)}, exec_{exec} {}

  void write(std::string bytes, std::function<void()> taken) override {
    const bool posted = post_([exec = exec_, bytes = std::move(bytes), taken]() mutable {
      if (const auto running = exec.lock()) {
        running->write(std::move(bytes), std::move(taken));
      } else if (taken) {
        taken();
      }
    });
    if (!posted && taken) taken();
  }

  void close_stdin() override {
    forward([](RunningExec& exec) { exec.close_stdin(); });
  }
  void resize(TerminalSize size) override {
    forward([size](RunningExec& exec) { exec.resize(size); });
  }
  void cancel() override {
    forward([](RunningExec& exec) {
      exec.end_early({ErrorCode::kCancelled, "exec", "", "cancelled by the caller", {}});
    });
  }

 private:
  template <class F>
  void forward(F call) {
    post_([exec = exec_, call = std::move(call)] {
      if (const auto running = exec.lock()) call(*running);
    });
  }

  EventLoop::Poster post_;
  std::weak_ptr<RunningExec> exec_;
};

}  // namespace

Expected<std::shared_ptr<ExecSession>> start_exec(EventLoop& loop, Command command,
                                                  const ExecRequest& request,
                                                  std::shared_ptr<ExecClient> client,
                                                  ExecProcessOptions options) {
  auto exec = std::make_shared<RunningExec>(loop, request, std::move(client), std::move(options));
  auto started = exec->start(std::move(command));
  if (!started) return fail(std::move(started.error()));
  return std::make_shared<SessionHandle>(loop.poster(), exec);
}

}  // namespace ndc::runtime
