#include "runtime/look_again.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace ndc::runtime {
namespace {

constexpr std::chrono::milliseconds kLookInterval{100};

struct Waiting : std::enable_shared_from_this<Waiting> {
  EventLoop& loop;
  std::chrono::steady_clock::time_point until;
  std::function<bool()> so;
  std::function<void(bool)> then;
  std::shared_ptr<EventLoop::Timer> timer = nullptr;

  Waiting(EventLoop& its_loop, std::chrono::steady_clock::time_point its_end,
          std::function<bool()> what, std::function<void(bool)> what_then)
      : loop{its_loop}, until{its_end}, so{std::move(what)}, then{std::move(what_then)} {}

  void look() {
    const bool in_time = so();
    const auto left = until - std::chrono::steady_clock::now();
    if (in_time || left <= left.zero()) {
      timer.reset();
      return std::exchange(then, nullptr)(in_time);
    }
    timer = loop.after(std::min<std::chrono::nanoseconds>(kLookInterval, left),
                       [self = shared_from_this()] { self->look(); });
  }
};

}  // namespace

void look_again(EventLoop& loop, std::chrono::steady_clock::time_point until,
                std::function<bool()> look, std::function<void(bool in_time)> then) {
  std::make_shared<Waiting>(loop, until, std::move(look), std::move(then))->look();
}

}  // namespace ndc::runtime
