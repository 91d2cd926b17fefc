#include "runtime/apple_log_route.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/log_route.hpp"
#include "runtime/monitor_files.hpp"

namespace ndc::runtime {
namespace {

using WatchOf = std::function<std::shared_ptr<AppleWatch>(const std::string& id)>;

// How often it is looked whether the collector takes what the monitor has for it, and how long it
// may take nothing: as long as a pumped log's (log_pump.hpp).
constexpr std::chrono::milliseconds kLook{500};
constexpr std::chrono::seconds kPatience{5};

// Waits until the monitor has delivered everything, for as long as its spools get emptier. Loop
// thread only.
class Delivery : public std::enable_shared_from_this<Delivery> {
 public:
  Delivery(EventLoop& loop, std::shared_ptr<AppleWatch> watch, std::function<void()> done,
           std::function<void(Error)> gave_up)
      : loop_{loop},
        watch_{std::move(watch)},
        done_{std::move(done)},
        gave_up_{std::move(gave_up)} {}

  void begin() {
    watch_->when_delivered([self = shared_from_this()] { self->end(); });
    if (done_) look();
  }

 private:
  void look() {
    const std::uint64_t left = spooled(watch_->files().directory());
    const auto now = std::chrono::steady_clock::now();
    if (left < left_) moved_ = now;
    left_ = std::min(left, left_);
    if (now - moved_ >= kPatience) {
      if (left > 0) {
        const Error error{
            ErrorCode::kRuntimeUnavailable, "deliver the log in", watch_->files().directory(),
            std::to_string(left) + " bytes wait for Nomad's log collector, which takes nothing; " +
                watch_->fate_of_output(),
            "see what became of the task's logmon process"};
        spdlog::warn("{}", error.message());
        if (gave_up_) gave_up_(error);
      }
      return end();
    }
    timer_ = loop_.after(kLook, [self = shared_from_this()] { self->look(); });
  }
  void end() {
    timer_.reset();
    if (const auto done = std::exchange(done_, nullptr)) done();
  }

  EventLoop& loop_;
  std::shared_ptr<AppleWatch> watch_;
  std::function<void()> done_;
  std::function<void(Error)> gave_up_;
  std::uint64_t left_ = std::numeric_limits<std::uint64_t>::max();
  std::chrono::steady_clock::time_point moved_{};
  std::shared_ptr<EventLoop::Timer> timer_;
};

class AppleLogRoute final : public LogRoute {
 public:
  AppleLogRoute(EventLoop& loop, LogPaths paths, WatchOf watch_of, std::shared_ptr<FifoRoute> ends)
      : loop_{loop},
        post_{loop.poster()},
        state_{std::make_shared<State>(State{std::move(paths), std::move(watch_of), {}, {}})},
        ends_{std::move(ends)} {}
  ~AppleLogRoute() override { ends_->finish({}); }

  std::shared_ptr<const void> hold() override { return ends_->hold(); }
  std::shared_ptr<const void> held() const override { return ends_->held(); }

  void follow(const ContainerRef& container, std::function<void(Error)> failed) override {
    hold();  // the monitor has them open by now, and may be killed
    post_([state = state_, id = container.id, failed = std::move(failed)] {
      state->id = id;
      state->failed = failed;
      const auto watch = state->watch_of(id);
      if (!watch) return;
      if (failed) watch->when_degraded(failed);
      watch->deliver_to(state->paths, failed);
    });
  }

  void finish(std::function<void()> drained) override {
    post_([&loop = loop_, state = state_, ends = ends_, drained = std::move(drained)] {
      auto watch = state->id.empty() ? nullptr : state->watch_of(state->id);
      const auto end = [ends, drained] { ends->finish(drained); };
      if (!watch) return end();
      await_delivery(loop, std::move(watch), end, state->failed);
    });
  }

 private:
  struct State {
    LogPaths paths;
    WatchOf watch_of;
    std::string id;  // loop thread, as what follows
    std::function<void(Error)> failed;
  };
  EventLoop& loop_;
  EventLoop::Poster post_;
  std::shared_ptr<State> state_;
  std::shared_ptr<FifoRoute> ends_;
};

}  // namespace

void await_delivery(EventLoop& loop, std::shared_ptr<AppleWatch> watch, std::function<void()> done,
                    std::function<void(Error)> gave_up) {
  std::make_shared<Delivery>(loop, std::move(watch), std::move(done), std::move(gave_up))->begin();
}

Expected<std::shared_ptr<LogRoute>> open_apple_route(EventLoop& loop, const LogPaths& paths,
                                                     WatchOf watch_of) {
  auto ends = open_direct_route(loop, paths);
  if (!ends) return fail(std::move(ends.error()));
  return std::make_shared<AppleLogRoute>(loop, paths, std::move(watch_of), std::move(*ends));
}

}  // namespace ndc::runtime
