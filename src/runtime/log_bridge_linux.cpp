#include "runtime/log_bridge.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "runtime/cgroup_linux.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/uv_handle.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMove = 1u << 20;  // bytes a splice; a pipe holds no more as a rule
constexpr auto kPatience = 5s;           // with a collector that takes nothing, at the end

// --- the directories
// ------------------------------------------------------------------------------

class InotifyWatch final : public AppearanceWatch,
                           public std::enable_shared_from_this<InotifyWatch> {
 public:
  explicit InotifyWatch(EventLoop& loop) : loop_{loop} {}

  std::shared_ptr<void> watch(const std::string& path, std::function<void()> appeared) override {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos || !ready()) return nullptr;
    // What the collector writes into its files there is no news: only what is made.
    const int id = ::inotify_add_watch(inotify_.get(), path.substr(0, slash).c_str(),
                                       IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    if (id < 0) return nullptr;
    auto watcher = std::make_shared<Watcher>();
    watcher->watch = weak_from_this();
    watcher->directory = id;
    watcher->name = path.substr(slash + 1);
    watcher->appeared = std::move(appeared);
    ++directories_[id];
    watchers_.push_back(watcher);
    return watcher;
  }

 private:
  struct Watcher {
    Watcher() = default;
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    ~Watcher() {
      if (const auto owner = watch.lock()) owner->drop(directory);
    }
    std::weak_ptr<InotifyWatch> watch;
    int directory = -1;
    std::string name;
    std::function<void()> appeared;
  };

  bool ready() {
    if (inotify_) return true;
    inotify_ = UniqueFd{::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    if (!inotify_) return false;
    const int fd = inotify_.get();
    const int error =
        poll_.open(loop_.uv(), shared_from_this(),
                   [fd](uv_loop_t* loop, uv_poll_t* p) { return uv_poll_init(loop, p, fd); });
    if (error != 0) {
      inotify_.reset();
      return false;
    }
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* poll, int, int) {
      if (const auto self = owner_of<InotifyWatch>(poll)) self->read();
    });
    return true;
  }

  void read() {
    alignas(inotify_event) char buffer[4096];
    std::vector<std::pair<int, std::string>> seen;
    while (true) {
      const ssize_t size = ::read(inotify_.get(), buffer, sizeof buffer);
      if (size <= 0) break;
      for (ssize_t at = 0; at < size;) {
        inotify_event event{};
        std::memcpy(&event, buffer + at, sizeof event);
        if (event.len > 0) seen.emplace_back(event.wd, buffer + at + sizeof event);
        at += static_cast<ssize_t>(sizeof event + event.len);
      }
    }
    std::vector<std::shared_ptr<Watcher>> told;
    std::erase_if(watchers_, [](const auto& watcher) { return watcher.expired(); });
    for (const auto& weak : watchers_) {
      const auto watcher = weak.lock();
      for (const auto& [directory, name] : seen) {
        if (watcher && watcher->directory == directory && watcher->name == name) {
          told.push_back(watcher);
          break;
        }
      }
    }
    for (const auto& watcher : told) watcher->appeared();
  }

  void drop(int directory) {
    const auto found = directories_.find(directory);
    if (found == directories_.end() || --found->second > 0) return;
    directories_.erase(found);
    if (inotify_) ::inotify_rm_watch(inotify_.get(), directory);
  }

  EventLoop& loop_;
  UniqueFd inotify_;
  UvHandle<uv_poll_t> poll_;
  std::map<int, int> directories_;  // how many watchers each has
  std::vector<std::weak_ptr<Watcher>> watchers_;
};

// --- one stream
// -----------------------------------------------------------------------------------

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool holds_bytes(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

// The moving parts, kept by their own handles; the LogBridge is what others hold of it.
class Mover : public std::enable_shared_from_this<Mover> {
 public:
  Mover(EventLoop& loop, std::string path, UniqueFd pipe)
      : loop_{loop}, path_{std::move(path)}, pipe_{std::move(pipe)} {}

  // Is the FIFO at the path another one than bytes go to now?
  void look() {
    if (stopped_) return;
    UniqueFd fifo{::open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW)};
    struct stat there {};
    struct stat current {};
    if (!fifo || ::fstat(fifo.get(), &there) != 0 || !S_ISFIFO(there.st_mode)) return;
    const int target = sink_ ? sink_.get() : pipe_.get();
    if (::fstat(target, &current) != 0 || same_file(there, current)) return;
    spdlog::info("the log collector made a new FIFO: {}", path_);
    // What the collector before did not read stands before everything else.
    if (sink_) backlog_.push_back(std::move(sink_));
    sink_ = std::move(fifo);
    readable_.close();
    room_.close();
    crash_point("log.bridge.opened");
    move();
  }

  void finish(std::function<void()> drained) {
    drained_ = std::move(drained);
    if (!sink_ || stopped_) return stop();
    finishing_ = true;
    patience_ = loop_.after(kPatience, [self = shared_from_this()] {
      if (holds_bytes(self->pipe_.get())) {
        spdlog::warn("the log collector took nothing for 5 s: {}", self->path_);
      }
      self->stop();
    });
    move();
  }

  void stop() {
    const auto self = shared_from_this();
    stopped_ = true;
    patience_.reset();
    readable_.close();
    room_.close();
    sink_.reset();
    pipe_.reset();
    backlog_.clear();
    crash_point("log.bridge.stopped");
    if (const auto drained = std::exchange(drained_, nullptr)) drained();
  }

 private:
  // Moves until a pipe is empty or full, then waits for it to change.
  void move() {
    while (!stopped_ && sink_) {
      const int source = backlog_.empty() ? pipe_.get() : backlog_.front().get();
      const ssize_t moved =
          ::splice(source, nullptr, sink_.get(), nullptr, kMove, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (moved > 0) crash_point("log.bridge.moved");
      if (moved > 0) continue;
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0 && errno != EAGAIN) {
        spdlog::error("bridge the log to {}: splice: {}", path_, std::strerror(errno));
        return stop();
      }
      if (holds_bytes(source)) return wait_for_room();
      if (backlog_.empty()) {
        if (finishing_) return stop();
        return wait_for_bytes();
      }
      backlog_.pop_front();
    }
  }

  void wait_for_room() { wait(room_, sink_.get(), UV_WRITABLE); }
  void wait_for_bytes() { wait(readable_, pipe_.get(), UV_READABLE); }

  void wait(UvHandle<uv_poll_t>& handle, int fd, int events) {
    readable_.close();
    room_.close();
    const int error = handle.open(
        loop_.uv(), shared_from_this(),
        [fd](uv_loop_t* loop, uv_poll_t* poll) { return uv_poll_init(loop, poll, fd); });
    if (error != 0) {
      spdlog::error("bridge the log to {}: {}", path_, uv_strerror(error));
      return stop();
    }
    uv_poll_start(handle.get(), events, [](uv_poll_t* poll, int, int) {
      const auto self = owner_of<Mover>(poll);
      if (!self) return;
      uv_poll_stop(poll);
      self->move();
    });
  }

  EventLoop& loop_;
  std::string path_;
  UniqueFd pipe_;                 // of the workload
  UniqueFd sink_;                 // the collector's newest FIFO, where it is another pipe
  std::deque<UniqueFd> backlog_;  // FIFOs in between, while they still hold something
  UvHandle<uv_poll_t> readable_;
  UvHandle<uv_poll_t> room_;
  bool finishing_ = false;
  bool stopped_ = false;
  std::shared_ptr<EventLoop::Timer> patience_;
  std::function<void()> drained_;
};

class MoverBridge final : public LogBridge {
 public:
  MoverBridge(std::shared_ptr<Mover> mover, std::shared_ptr<void> watch)
      : mover_{std::move(mover)}, watch_{std::move(watch)} {}
  ~MoverBridge() override {
    if (mover_) mover_->stop();
  }
  void finish(std::function<void()> drained) override {
    watch_.reset();
    if (const auto mover = std::exchange(mover_, nullptr)) {
      mover->finish(std::move(drained));
    } else if (drained) {
      drained();
    }
  }

 private:
  std::shared_ptr<Mover> mover_;
  std::shared_ptr<void> watch_;
};

}  // namespace

std::shared_ptr<AppearanceWatch> make_appearance_watch(EventLoop& loop) {
  return std::make_shared<InotifyWatch>(loop);
}

std::shared_ptr<LogBridge> make_log_bridge(EventLoop& loop, AppearanceWatch& watch,
                                           std::string path, UniqueFd pipe) {
  if (!pipe || path == "/dev/null") return nullptr;
  auto mover = std::make_shared<Mover>(loop, path, std::move(pipe));
  auto token = watch.watch(path, [weak = std::weak_ptr{mover}] {
    if (const auto self = weak.lock()) self->look();
  });
  mover->look();
  return std::make_shared<MoverBridge>(std::move(mover), std::move(token));
}

namespace {

constexpr const char* kPipeKeys[] = {"stdout_pipe", "stderr_pipe"};  // in ContainerRef::state

// "device:inode" of a FIFO; empty for anything else.
std::string pipe_identity(const struct stat& info) {
  if (!S_ISFIFO(info.st_mode)) return {};
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

std::string pipe_identity(int fd) {
  struct stat info {};
  return fd >= 0 && ::fstat(fd, &info) == 0 ? pipe_identity(info) : std::string{};
}

// An open file description of its own: its flags are nobody else's.
UniqueFd reopen(const std::string& path) {
  return UniqueFd{::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
}

}  // namespace

void save_pipes(std::array<int, 2> fds, ContainerRef& container) {
  for (std::size_t i = 0; i < fds.size(); ++i) {
    if (std::string identity = pipe_identity(fds[i]); !identity.empty()) {
      container.state[kPipeKeys[i]] = std::move(identity);
    }
  }
}

UniqueFd workload_pipe(const ContainerRef& container, std::size_t stream, int own) {
  const auto noted = container.state.find(kPipeKeys[stream]);
  const std::string identity = pipe_identity(own);
  if (noted == container.state.end() || noted->second == identity) {
    return identity.empty() ? UniqueFd{} : reopen("/proc/self/fd/" + std::to_string(own));
  }
  // The workload may have redirected its own streams: any of its processes, any descriptor will do.
  for (const pid_t pid : container_processes(container)) {
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd/";
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{directory, ignored}) {
      struct stat info {};
      if (::stat(entry.path().c_str(), &info) == 0 && pipe_identity(info) == noted->second) {
        return reopen(entry.path());
      }
    }
  }
  return UniqueFd{};
}

}  // namespace ndc::runtime
