#include "runtime/log_route.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/log_pump.hpp"

namespace ndc::runtime {
namespace {

// Read-write, so that opening never waits for the collector and writing never gives EPIPE. Only a
// FIFO or /dev/null: the directory is the task's too, and a link placed there must not be followed.
Expected<UniqueFd> open_sink(const std::string& path, int flags) {
  const auto error = [&path](const char* cause) {
    return fail({ErrorCode::kInternal, "open the log collector's FIFO", path, cause, {}});
  };
  UniqueFd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | flags)};
  if (!fd) return error(std::strerror(errno));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return error(std::strerror(errno));
  if (!S_ISFIFO(info.st_mode) && path != "/dev/null") return error("it is not a FIFO");
  return fd;
}

class OpenDirectRoute final : public DirectLogRoute {
 public:
  OpenDirectRoute(EventLoop& loop, LogPaths paths, std::shared_ptr<AppearanceWatch> watch,
                  UniqueFd out, UniqueFd err)
      : loop_{loop}, post_{loop.poster()}, ends_{std::make_shared<Ends>()} {
    ends_->paths = {std::move(paths.stdout_path), std::move(paths.stderr_path)};
    ends_->watch = std::move(watch);
    ends_->fds = {std::make_shared<UniqueFd>(std::move(out)),
                  std::make_shared<UniqueFd>(std::move(err))};
  }
  ~OpenDirectRoute() override {
    post_([ends = std::move(ends_)] { ends->bridges = {}; });
  }

  std::shared_ptr<UniqueFd> stdout_fd() const override { return ends_->get(0); }
  std::shared_ptr<UniqueFd> stderr_fd() const override { return ends_->get(1); }

  void follow(const ContainerRef& container, std::function<void(Error)>) override {
    if (!ends_->watch) return;
    post_([&loop = loop_, ends = ends_, container] {
      auto pipes = workload_pipes(container);
      for (std::size_t i = 0; i < pipes.size(); ++i) {
        const auto own = ends->get(i);
        if (!own) return;  // finished meanwhile
        if (!pipes[i]) pipes[i] = reopen_pipe(own->get());
        ends->bridges[i] = make_log_bridge(loop, *ends->watch, ends->paths[i], std::move(pipes[i]));
      }
    });
  }

  // On the loop thread, where spawning happens: no child in the making loses its descriptor.
  void finish(std::function<void()> drained) override {
    post_([ends = ends_, drained = std::move(drained)] {
      ends->drop();
      auto both = std::make_shared<int>(0);
      for (auto& bridge : ends->bridges) *both += bridge ? 1 : 0;
      if (*both == 0 && drained) return drained();
      for (auto& bridge : ends->bridges) {
        if (!bridge) continue;
        bridge->finish([both, drained] {
          if (--*both == 0 && drained) drained();
        });
        bridge.reset();
      }
    });
  }

 private:
  struct Ends {
    std::shared_ptr<UniqueFd> get(std::size_t stream) {
      const std::lock_guard lock{mutex};
      return fds[stream];
    }
    void drop() {
      const std::lock_guard lock{mutex};
      fds = {};
    }
    std::array<std::string, 2> paths;
    std::shared_ptr<AppearanceWatch> watch;
    std::mutex mutex;
    std::array<std::shared_ptr<UniqueFd>, 2> fds;       // by stream: stdout, stderr
    std::array<std::shared_ptr<LogBridge>, 2> bridges;  // loop thread only
  };
  EventLoop& loop_;
  EventLoop::Poster post_;
  std::shared_ptr<Ends> ends_;
};

class PumpedRoute final : public LogRoute {
 public:
  PumpedRoute(EventLoop::Poster post, std::shared_ptr<LogPump> pump)
      : post_{std::move(post)}, pump_{std::move(pump)} {}
  ~PumpedRoute() override {
    post_([pump = std::move(pump_)] { pump->stop(); });
  }

  bool pumped() const override { return true; }

  void follow(const ContainerRef& container, std::function<void(Error)> failed) override {
    const auto path = container.state.find("log_path");
    std::string log = path == container.state.end() ? std::string{} : path->second;
    post_([pump = pump_, name = container.name, log = std::move(log),
           failed = std::move(failed)]() mutable {
      if (!log.empty()) return pump->follow(std::move(log), std::move(failed));
      if (failed) {
        failed({ErrorCode::kInternal, "copy the log", name, "the engine named no log file", {}});
      }
    });
  }

  void finish(std::function<void()> drained) override {
    post_([pump = pump_, drained = std::move(drained)]() mutable {
      pump->finish(std::move(drained));
    });
  }

 private:
  EventLoop::Poster post_;
  std::shared_ptr<LogPump> pump_;
};

}  // namespace

Expected<std::shared_ptr<DirectLogRoute>> open_direct_route(
    EventLoop& loop, const LogPaths& paths, std::shared_ptr<AppearanceWatch> watch) {
  auto out = open_sink(paths.stdout_path, 0);
  if (!out) return fail(std::move(out.error()));
  auto err = open_sink(paths.stderr_path, 0);
  if (!err) return fail(std::move(err.error()));
  return std::make_shared<OpenDirectRoute>(loop, paths, std::move(watch), std::move(*out),
                                           std::move(*err));
}

Expected<std::shared_ptr<LogRoute>> open_pumped_route(EventLoop& loop, const LogPaths& paths) {
  auto out = open_sink(paths.stdout_path, O_NONBLOCK);
  if (!out) return fail(std::move(out.error()));
  auto err = open_sink(paths.stderr_path, O_NONBLOCK);
  if (!err) return fail(std::move(err.error()));
  return std::make_shared<PumpedRoute>(
      loop.poster(), std::make_shared<LogPump>(loop, std::move(*out), std::move(*err)));
}

}  // namespace ndc::runtime
