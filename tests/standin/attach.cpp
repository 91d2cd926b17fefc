#include "standin/attach.hpp"

#include <fcntl.h>

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "standin/host_signals.hpp"
#include "standin/settings.hpp"
#include "standin/text.hpp"

namespace standin {
namespace {

int signal_pipe = -1;
void on_signal(int number) {
  const int kept = errno;
  const char byte = static_cast<char>(number);
  [[maybe_unused]] const ssize_t wrote = write(signal_pipe, &byte, 1);
  errno = kept;
}

// Restores the terminal when the attached command ends.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    if (!wanted || tcgetattr(0, &before_) != 0) return;
    termios raw = before_;
    cfmakeraw(&raw);
    active_ = tcsetattr(0, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) tcsetattr(0, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

// For writes to the helper, which may be gone already; what is written to the caller's own streams
// ends this program as usual.
class NoBrokenPipe {
 public:
  NoBrokenPipe() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before_);
  }
  ~NoBrokenPipe() { sigaction(SIGPIPE, &before_, nullptr); }
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;

 private:
  struct sigaction before_ {};
};

#ifdef PIPE_BUF
constexpr size_t kSafeWrite = PIPE_BUF;  // after POLLOUT a pipe takes this much without blocking
#else
constexpr size_t kSafeWrite = 512;
#endif

class Attachment {
 public:
  Attachment(Connection connection, const AttachOptions& options)
      : connection_(std::move(connection)),
        options_(options),
        terminal_(options.interactive && options.tty) {
    Pipe pipe = make_pipe();
    fcntl(pipe.write.get(), F_SETFL, O_NONBLOCK);
    signals_ = std::move(pipe.read);
    signal_pipe = pipe.write.release();
    struct sigaction action {};
    action.sa_handler = on_signal;
    for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH}) {
      sigaction(number, &action, nullptr);
    }
    flows_[0] = {&connection_.out, 1};
    flows_[1] = {&connection_.err, 2};
    if (options_.interactive) {
      // Like the imitated CLI, on the description that others may share.
      fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
      if (options_.tty) send_size();
    }
    if (options_.fault && options_.fault->kind == "die") {
      die_at_ = now_ms() + options_.fault->number;
    }
  }

  AttachResult run() {
    while (true) {
      std::array<pollfd, 5> polled{};
      polled[0] = {connection_.control.get(), POLLIN, 0};
      polled[1] = {signals_.get(), POLLIN, 0};
      const bool wants_input = options_.interactive && connection_.in;
      // One chunk at a time, and never by a write that blocks: the output has to move meanwhile.
      polled[2] = typed_ != 0 ? pollfd{connection_.in.get(), POLLOUT, 0}
                              : pollfd{wants_input ? 0 : -1, POLLIN, 0};
      for (size_t i = 0; i < flows_.size(); ++i) {
        const auto& flow = flows_[i];
        if (flow.size != 0) {
          polled[3 + i] = {flow.target, POLLOUT, 0};
        } else {
          polled[3 + i] = {flow.source->get(), POLLIN, 0};
        }
      }
      poll(polled.data(), polled.size(), timeout());
      if (die_at_ != 0 && now_ms() >= die_at_) raise(SIGKILL);
      if (polled[1].revents != 0) {
        if (auto result = read_signals()) return *result;
      }
      if (polled[2].revents != 0) typed_ != 0 ? pass_input() : read_input();
      for (size_t i = 0; i < flows_.size(); ++i) {
        if (polled[3 + i].revents != 0) advance(&flows_[i]);
      }
      if (polled[0].revents != 0) read_control();
      if (result_) {
        if (drained() || result_->kind == AttachResult::Kind::lost) return *result_;
        if (now_ms() >= drain_until_) return {AttachResult::Kind::undrained, 1};
      }
    }
  }

 private:
  struct Flow {
    Fd* source = nullptr;
    int target = -1;
    size_t size = 0;
    size_t sent = 0;
    std::array<char, 8192> buffer{};
  };

  int timeout() const {
    int64_t at = result_ ? drain_until_ : 0;
    if (die_at_ != 0 && (at == 0 || die_at_ < at)) at = die_at_;
    if (at == 0) return -1;
    return static_cast<int>(std::max<int64_t>(0, at - now_ms()));
  }

  bool drained() const {
    for (const auto& flow : flows_) {
      if (*flow.source || flow.size != 0) return false;
    }
    return true;
  }

  void advance(Flow* flow) {
    if (flow->size == 0) {
      const ssize_t got = read(flow->source->get(), flow->buffer.data(), flow->buffer.size());
      if (got < 0 && errno == EINTR) return;
      if (got <= 0) {
        flow->source->reset();
        return;
      }
      flow->size = static_cast<size_t>(got);
      flow->sent = 0;
      return;
    }
    const size_t part = std::min(flow->size - flow->sent, kSafeWrite);
    const ssize_t wrote = write(flow->target, flow->buffer.data() + flow->sent, part);
    if (wrote < 0 && errno == EINTR) return;
    if (wrote < 0) {
      // A closed or a full non-blocking descriptor: a crash, from 1.1.0 on a silent cut.
      if (options_.version <= Version::v1_0_0) {
        signal(SIGTRAP, SIG_DFL);
        raise(SIGTRAP);
      }
      flow->size = 0;
      flow->source->reset();
      return;
    }
    flow->sent += static_cast<size_t>(wrote);
    if (flow->sent == flow->size) flow->size = 0;
  }

  void read_input() {
    const ssize_t got = read(0, input_.data(), input_.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      connection_.in.reset();
      return;
    }
    typed_ = static_cast<size_t>(got);
    passed_ = 0;
  }

  void pass_input() {
    const NoBrokenPipe guard;
    const size_t part = std::min(typed_ - passed_, kSafeWrite);
    const ssize_t wrote = write(connection_.in.get(), input_.data() + passed_, part);
    if (wrote < 0 && errno == EINTR) return;
    if (wrote > 0) passed_ += static_cast<size_t>(wrote);
    if (wrote < 0) connection_.in.reset();
    if (wrote < 0 || passed_ == typed_) typed_ = 0;
  }

  void read_control() {
    std::array<char, 256> buffer;
    const ssize_t got = read(connection_.control.get(), buffer.data(), buffer.size() - 1);
    if (got < 0 && errno == EINTR) return;
    drain_until_ = now_ms() + setting_ms("DRAIN_MS", 3000);
    if (got > 0) {
      buffer[static_cast<size_t>(got)] = '\0';
      int code = 0;
      if (std::sscanf(buffer.data(), "exit %d", &code) == 1) {
        result_ = AttachResult{AttachResult::Kind::exited, code};
        connection_.control.reset();
        return;
      }
    }
    if (!result_) result_ = AttachResult{AttachResult::Kind::lost, 255};
    connection_.control.reset();
  }

  void send_size() {
    winsize size{};
    if (ioctl(0, TIOCGWINSZ, &size) != 0) return;
    char line[64];
    std::snprintf(line, sizeof line, "winsz %d %d\n", size.ws_row, size.ws_col);
    tell_helper(line);
  }

  // A helper that has ended has left its last words, which read_control() finds.
  void tell_helper(const std::string& line) {
    const NoBrokenPipe guard;
    if (connection_.control) write_all(connection_.control.get(), line);
  }

  std::optional<AttachResult> read_signals() {
    char number = 0;
    while (read(signals_.get(), &number, 1) < 0 && errno == EINTR) {
    }
    if (options_.interactive && options_.tty) {
      if (number == SIGWINCH) send_size();
      return std::nullopt;
    }
    const bool ends = number == SIGTERM || number == SIGINT;
    if (ends && options_.three_signals_end_it && ++ending_signals_ >= 3) {
      return AttachResult{AttachResult::Kind::escaped, 1};
    }
    if (is_old(options_.version)) {
      // Sent as the number of macOS: USR1 (30) is PWR in the container, USR2 (31) is SYS.
      const int sent = number == SIGUSR1 ? 30 : number == SIGUSR2 ? 31 : to_linux_signal(number);
      tell_helper("sig " + std::to_string(sent) + "\n");
    } else {
      const int shown = number == SIGUSR1 ? 30 : number == SIGUSR2 ? 31 : number;
      std::fprintf(stderr,
                   "failed to send signal: [\"error\": invalidArgument: \"missing signal in xpc "
                   "message\", \"signal\": %d]\n",
                   shown);
    }
    return std::nullopt;
  }

  Connection connection_;
  const AttachOptions& options_;
  RawTerminal terminal_;
  Fd signals_;
  std::array<Flow, 2> flows_;
  std::array<char, 4096> input_{};
  size_t typed_ = 0;   // of input_, 0 when there is none
  size_t passed_ = 0;  // of that, to the container
  std::optional<AttachResult> result_;
  int64_t drain_until_ = 0;
  int64_t die_at_ = 0;
  int ending_signals_ = 0;
};

}  // namespace

void await_start(const Connection& connection) {
  std::string line;
  char c = 0;
  // Byte by byte: what follows the first line is for attach().
  while (true) {
    const ssize_t got = read(connection.control.get(), &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      fail("failed to bootstrap container (cause: \"interrupted: \"helper is gone\"\")");
    if (c == '\n') break;
    line += c;
  }
  if (line.starts_with("started ")) return;
  fail(line.starts_with("error ") ? line.substr(6) : line);
}

AttachResult attach(Connection connection, const AttachOptions& options) {
  return Attachment(std::move(connection), options).run();
}

}  // namespace standin
