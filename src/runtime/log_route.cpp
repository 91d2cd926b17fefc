#include "runtime/log_route.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "runtime/fifo_bytes.hpp"
#include "runtime/log_pump.hpp"

namespace ndc::runtime {
namespace {

tl::unexpected<Error> sink_error(const std::string& path, const char* cause) {
  return fail({ErrorCode::kInternal, "open the log collector's FIFO", path, cause, {}});
}

// Only a FIFO or /dev/null: the directory is the task's too, and a link placed there must not be
// followed.
Expected<void> check_sink(const std::string& path, const struct stat& info) {
  if (S_ISFIFO(info.st_mode) || path == "/dev/null") return {};
  return sink_error(path, "it is not a FIFO");
}

// Read-write, so that opening never waits for the collector and writing never gives EPIPE.
Expected<UniqueFd> open_sink(const std::string& path, int flags) {
  UniqueFd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | flags)};
  if (!fd) {
    const int error = errno;
    auto failed = sink_error(path, std::strerror(error));
    // Later there may be a descriptor.
    if (error == EMFILE || error == ENFILE) failed.value().code = ErrorCode::kRuntimeUnavailable;
    return failed;
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return sink_error(path, std::strerror(errno));
  if (auto right = check_sink(path, info); !right) return fail(std::move(right.error()));
  return fd;
}

// An unread FIFO is looked at again after the first, then after twice as long each time: nothing
// tells when a pipe has become empty.
constexpr std::chrono::milliseconds kFirstLook{1};
constexpr std::chrono::milliseconds kLookInterval{50};
// Before a FIFO is opened again for which there was no descriptor.
constexpr std::chrono::seconds kOpenPause{1};
// With a collector that reads nothing although the task is being removed.
constexpr std::chrono::seconds kPatience{5};
// With one that reads nothing, before the route is said to be at its end all the same.
constexpr std::chrono::seconds kTellPatience{3};

// Keeps ends of FIFOs that the collector has not emptied. When a task ends while its collector is
// away (it was killed, and Nomad starts another one when it comes back), these are the last ends:
// the bytes would go with them. For as long as the route is there, and a little longer.
class UnreadEnds : public std::enable_shared_from_this<UnreadEnds> {
 public:
  UnreadEnds(EventLoop& loop, std::weak_ptr<void> route, std::vector<std::shared_ptr<UniqueFd>> fds,
             std::function<void()> closed)
      : loop_{loop}, route_{std::move(route)}, fds_{std::move(fds)}, closed_{std::move(closed)} {}

  void look() {
    std::erase_if(fds_, [](const auto& fd) { return !fd || !fifo_holds_bytes(fd->get()); });
    const auto now = std::chrono::steady_clock::now();
    if (!route_.expired()) {
      give_up_ = now + kPatience;
    } else if (now >= give_up_) {
      fds_.clear();
    }
    if (closed_ && (fds_.empty() || now - begun_ >= kTellPatience)) {
      std::exchange(closed_, nullptr)();
    }
    if (fds_.empty()) return timer_.reset();
    timer_ = loop_.after(pause_, [self = shared_from_this()] { self->look(); });
    pause_ = std::min(2 * pause_, kLookInterval);
  }

 private:
  EventLoop& loop_;
  const std::weak_ptr<void> route_;
  std::vector<std::shared_ptr<UniqueFd>> fds_;
  std::function<void()> closed_;
  std::chrono::milliseconds pause_ = kFirstLook;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point give_up_{};
  std::shared_ptr<EventLoop::Timer> timer_;
};

// The FIFOs of a route and the bridges from the pipes that were opened at their paths.
class FifoEnds : public std::enable_shared_from_this<FifoEnds> {
 public:
  FifoEnds(const LogPaths& paths, int flags, std::shared_ptr<AppearanceWatch> watch)
      : paths_{paths.stdout_path, paths.stderr_path}, flags_{flags}, watch_{std::move(watch)} {}

  std::shared_ptr<UniqueFd> get(std::size_t stream) {
    const std::lock_guard lock{mutex_};
    if (!fds_[stream] && !finished_) {
      auto opened = open_sink(paths_[stream], flags_);
      if (opened) {
        fds_[stream] = std::make_shared<UniqueFd>(std::move(*opened));
      } else {
        spdlog::warn("{}", opened.error().message());
      }
      wanting_[stream] = !opened && opened.error().recoverable();
    }
    return fds_[stream];
  }

  std::shared_ptr<const void> hold() {
    for (std::size_t i = 0; i < fds_.size(); ++i) get(i);
    return held();
  }

  std::shared_ptr<const void> held() const {
    const std::lock_guard lock{mutex_};
    if (!fds_[0] && !fds_[1]) return nullptr;
    return std::make_shared<const std::array<std::shared_ptr<UniqueFd>, 2>>(fds_);
  }

  // The rest on the loop thread, where spawning happens: no child in the making loses its
  // descriptor.

  // Runs `then` when both are open, or cannot be; as soon as there are descriptors for them.
  void when_open(EventLoop& loop, std::function<void()> then) {
    hold();
    if (!wants_descriptors()) return then();
    retry_ = loop.after(kOpenPause, [weak = weak_from_this(), &loop, then = std::move(then)] {
      if (const auto self = weak.lock()) self->when_open(loop, then);
    });
  }

  void bridge(EventLoop& loop, const ContainerRef& container) {
    if (!watch_) return;
    for (std::size_t i = 0; i < bridges_.size(); ++i) {
      const auto own = get(i);
      if (!own) return;  // finished meanwhile
      bridges_[i] =
          make_log_bridge(loop, *watch_, paths_[i], workload_pipe(container, i, own->get()));
    }
  }

  // Whoever asks again waits for the same end.
  void finish(EventLoop& loop, std::function<void()> drained) {
    const bool is_first = !end_;
    if (is_first) end_ = std::make_shared<End>();
    if (drained) end_->drained.push_back(std::move(drained));
    if (!is_first) {
      if (end_->open == 0) end_->tell();
      return;
    }
    std::vector<std::shared_ptr<UniqueFd>> ends;
    {
      const std::lock_guard lock{mutex_};
      finished_ = true;
      ends.assign(fds_.begin(), fds_.end());
      fds_ = {};
    }
    const auto one_less = [end = end_] {
      if (--end->open == 0) end->tell();
    };
    end_->open = 2;
    std::make_shared<UnreadEnds>(loop, weak_from_this(), std::move(ends), one_less)->look();
    for (auto& bridge : bridges_) {
      if (!bridge) continue;
      ++end_->open;
      bridge->finish(one_less);
      bridge.reset();
    }
    one_less();
  }

  void drop_bridges() {
    bridges_ = {};
    retry_.reset();
  }

 private:
  // Outlives the route, which may be dropped while its bytes are still under way.
  struct End {
    std::size_t open = 0;  // parts that are not at their end
    std::vector<std::function<void()>> drained;
    void tell() {
      for (const auto& each : std::exchange(drained, {})) each();
    }
  };

  bool wants_descriptors() {
    const std::lock_guard lock{mutex_};
    return !finished_ && (wanting_[0] || wanting_[1]);
  }

  const std::array<std::string, 2> paths_;
  const int flags_;
  const std::shared_ptr<AppearanceWatch> watch_;
  mutable std::mutex mutex_;
  bool finished_ = false;
  std::array<std::shared_ptr<UniqueFd>, 2> fds_;       // by stream: stdout, stderr
  std::array<bool, 2> wanting_{};                      // there was no descriptor for it
  std::shared_ptr<EventLoop::Timer> retry_;            // loop thread only
  std::array<std::shared_ptr<LogBridge>, 2> bridges_;  // loop thread only
  std::shared_ptr<End> end_;                           // loop thread only; null before finish()
};

class DirectRoute final : public FifoRoute {
 public:
  DirectRoute(EventLoop& loop, std::shared_ptr<FifoEnds> ends)
      : loop_{loop}, post_{loop.poster()}, ends_{std::move(ends)} {}
  ~DirectRoute() override {
    post_([ends = std::move(ends_)] { ends->drop_bridges(); });
  }

  std::shared_ptr<UniqueFd> stdout_fd() const override { return ends_->get(0); }
  std::shared_ptr<UniqueFd> stderr_fd() const override { return ends_->get(1); }
  std::shared_ptr<const void> hold() override { return ends_->hold(); }
  std::shared_ptr<const void> held() const override { return ends_->held(); }

  void follow(const ContainerRef& container, std::function<void(Error)>) override {
    hold();
    post_([&loop = loop_, ends = ends_, container] {
      ends->when_open(loop, [&loop, ends, container] { ends->bridge(loop, container); });
    });
  }

  void finish(std::function<void()> drained) override {
    post_([&loop = loop_, ends = ends_, drained = std::move(drained)] {
      ends->finish(loop, drained);
    });
  }

 private:
  EventLoop& loop_;
  EventLoop::Poster post_;
  std::shared_ptr<FifoEnds> ends_;
};

class PumpedRoute final : public FifoRoute {
 public:
  PumpedRoute(EventLoop& loop, std::shared_ptr<FifoEnds> ends)
      : loop_{loop},
        post_{loop.poster()},
        ends_{std::move(ends)},
        pump_{std::make_shared<LogPump>(loop)} {}
  ~PumpedRoute() override {
    post_([pump = std::move(pump_), ends = std::move(ends_)] {
      pump->stop();
      ends->drop_bridges();
    });
  }

  std::shared_ptr<UniqueFd> stdout_fd() const override { return ends_->get(0); }
  std::shared_ptr<UniqueFd> stderr_fd() const override { return ends_->get(1); }
  std::shared_ptr<const void> hold() override { return ends_->hold(); }
  std::shared_ptr<const void> held() const override { return ends_->held(); }

  void follow(const ContainerRef& container, std::function<void(Error)> failed) override {
    hold();
    const auto path = container.state.find("log_path");
    std::string log = path == container.state.end() ? std::string{} : path->second;
    post_([&loop = loop_, pump = pump_, ends = ends_, name = container.name, log = std::move(log),
           failed = std::move(failed)]() mutable {
      ends->when_open(loop, [&loop, pump, ends, name, log, failed] {
        ends->bridge(loop, {});  // from the pipe that the pump writes to
        auto sink = ends->get(0);
        if (sink && !log.empty()) return pump->follow(log, std::move(sink), failed);
        if (failed) {
          failed({ErrorCode::kInternal,
                  "copy the log",
                  name,
                  sink ? "the engine named no log file" : "the log collector's FIFO is gone",
                  {}});
        }
      });
    });
  }

  void finish(std::function<void()> drained) override {
    post_([&loop = loop_, pump = pump_, ends = ends_, drained = std::move(drained)]() mutable {
      pump->finish([&loop, ends, drained = std::move(drained)] { ends->finish(loop, drained); });
    });
  }

 private:
  EventLoop& loop_;
  EventLoop::Poster post_;
  std::shared_ptr<FifoEnds> ends_;
  std::shared_ptr<LogPump> pump_;
};

Expected<std::shared_ptr<FifoEnds>> open_ends(const LogPaths& paths, int flags,
                                              std::shared_ptr<AppearanceWatch> watch) {
  for (const std::string& path : {paths.stdout_path, paths.stderr_path}) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return sink_error(path, std::strerror(errno));
    if (auto right = check_sink(path, info); !right) return fail(std::move(right.error()));
  }
  return std::make_shared<FifoEnds>(paths, flags, std::move(watch));
}

}  // namespace

Expected<std::shared_ptr<FifoRoute>> open_direct_route(EventLoop& loop, const LogPaths& paths,
                                                       std::shared_ptr<AppearanceWatch> watch) {
  auto ends = open_ends(paths, 0, std::move(watch));
  if (!ends) return fail(std::move(ends.error()));
  return std::make_shared<DirectRoute>(loop, std::move(*ends));
}

Expected<std::shared_ptr<FifoRoute>> open_pumped_route(EventLoop& loop, const LogPaths& paths,
                                                       std::shared_ptr<AppearanceWatch> watch) {
  auto ends = open_ends(paths, O_NONBLOCK, std::move(watch));
  if (!ends) return fail(std::move(ends.error()));
  return std::make_shared<PumpedRoute>(loop, std::move(*ends));
}

}  // namespace ndc::runtime
