#include "runtime/log_route.hpp"

#include <fcntl.h>
#include <sys/stat.h>

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
  OpenDirectRoute(EventLoop::Poster post, UniqueFd out, UniqueFd err)
      : post_{std::move(post)}, ends_{std::make_shared<Ends>()} {
    ends_->out = std::make_shared<UniqueFd>(std::move(out));
    ends_->err = std::make_shared<UniqueFd>(std::move(err));
  }

  std::shared_ptr<UniqueFd> stdout_fd() const override { return ends_->get(ends_->out); }
  std::shared_ptr<UniqueFd> stderr_fd() const override { return ends_->get(ends_->err); }

  // On the loop thread, where spawning happens: no child in the making loses its descriptor.
  void finish(std::function<void()> drained) override {
    post_([ends = ends_, drained = std::move(drained)] {
      ends->drop();
      if (drained) drained();
    });
  }

 private:
  struct Ends {
    std::shared_ptr<UniqueFd> get(const std::shared_ptr<UniqueFd>& end) {
      const std::lock_guard lock{mutex};
      return end;
    }
    void drop() {
      const std::lock_guard lock{mutex};
      out.reset();
      err.reset();
    }
    std::mutex mutex;
    std::shared_ptr<UniqueFd> out;
    std::shared_ptr<UniqueFd> err;
  };
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

Expected<std::shared_ptr<DirectLogRoute>> open_direct_route(EventLoop& loop,
                                                            const LogPaths& paths) {
  auto out = open_sink(paths.stdout_path, 0);
  if (!out) return fail(std::move(out.error()));
  auto err = open_sink(paths.stderr_path, 0);
  if (!err) return fail(std::move(err.error()));
  return std::make_shared<OpenDirectRoute>(loop.poster(), std::move(*out), std::move(*err));
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
