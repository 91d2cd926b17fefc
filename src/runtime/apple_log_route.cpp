#include "runtime/apple_log_route.hpp"

#include <utility>

#include "runtime/log_route.hpp"

namespace ndc::runtime {
namespace {

using WatchOf = std::function<std::shared_ptr<AppleWatch>(const std::string& id)>;

class AppleLogRoute final : public LogRoute {
 public:
  AppleLogRoute(EventLoop& loop, LogPaths paths, WatchOf watch_of, std::shared_ptr<FifoRoute> ends)
      : post_{loop.poster()},
        state_{std::make_shared<State>(State{std::move(paths), std::move(watch_of), {}})},
        ends_{std::move(ends)} {}
  ~AppleLogRoute() override { ends_->finish({}); }

  void hold() override { ends_->hold(); }

  void follow(const ContainerRef& container, std::function<void(Error)> failed) override {
    hold();  // the monitor has them open by now, and may be killed
    post_([state = state_, id = container.id, failed = std::move(failed)] {
      state->id = id;
      const auto watch = state->watch_of(id);
      if (!watch) return;
      if (failed) watch->when_degraded(failed);
      watch->deliver_to(state->paths);
    });
  }

  void finish(std::function<void()> drained) override {
    post_([state = state_, ends = ends_, drained = std::move(drained)] {
      const auto watch = state->id.empty() ? nullptr : state->watch_of(state->id);
      const auto end = [ends, drained] { ends->finish(drained); };
      if (watch) {
        watch->when_delivered(end);
      } else {
        end();
      }
    });
  }

 private:
  struct State {
    LogPaths paths;
    WatchOf watch_of;
    std::string id;  // loop thread
  };
  EventLoop::Poster post_;
  std::shared_ptr<State> state_;
  std::shared_ptr<FifoRoute> ends_;
};

}  // namespace

Expected<std::shared_ptr<LogRoute>> open_apple_route(EventLoop& loop, const LogPaths& paths,
                                                     WatchOf watch_of) {
  auto ends = open_direct_route(loop, paths);
  if (!ends) return fail(std::move(ends.error()));
  return std::make_shared<AppleLogRoute>(loop, paths, std::move(watch_of), std::move(*ends));
}

}  // namespace ndc::runtime
