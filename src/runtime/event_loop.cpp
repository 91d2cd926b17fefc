#include "runtime/event_loop.hpp"

#include <uv.h>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/uv_handle.hpp"

namespace ndc::runtime {
namespace {

// Shared with every Poster, so it outlives the loop.
struct TaskQueue {
  std::mutex mutex;
  std::vector<std::function<void()>> tasks;
  uv_async_t* wake = nullptr;  // null once stopping

  bool push(std::function<void()> task) {
    const std::lock_guard lock{mutex};
    if (wake == nullptr) return false;
    tasks.push_back(std::move(task));
    uv_async_send(wake);
    return true;
  }

  std::vector<std::function<void()>> take() {
    const std::lock_guard lock{mutex};
    return std::exchange(tasks, {});
  }
};

void check(int error, const char* call) {
  if (error != 0) throw std::runtime_error{std::string{call} + ": " + uv_strerror(error)};
}

struct TimerState {
  UvHandle<uv_timer_t> handle;
  std::function<void()> fire;

  void cancel() {
    const auto dropped = std::exchange(fire, nullptr);
    handle.close();
  }
};

}  // namespace

struct EventLoop::Impl {
  uv_loop_t loop{};
  uv_async_t wake{};
  OpenHandles open;
  std::shared_ptr<TaskQueue> queue = std::make_shared<TaskQueue>();
  bool stopping = false;  // under queue->mutex
  std::thread thread;

  void run_tasks() {
    {
      const std::lock_guard lock{queue->mutex};
      if (stopping) {
        uv_stop(&loop);
        return;
      }
    }
    for (auto& task : queue->take()) {
      task();
      task = nullptr;  // frees what it holds before the next one runs
    }
  }

  void run() {
    uv_run(&loop, UV_RUN_DEFAULT);
    while (!open.boxes.empty()) (*open.boxes.begin())->close();
    uv_walk(
        &loop,
        [](uv_handle_t* handle, void*) {
          if (uv_is_closing(handle) == 0) uv_close(handle, nullptr);
        },
        nullptr);
    uv_run(&loop, UV_RUN_DEFAULT);
    queue->take();
  }
};

class EventLoop::Timer {
 public:
  explicit Timer(const std::shared_ptr<TimerState>& state) : state_{state} {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() {
    if (const auto state = state_.lock()) state->cancel();
  }

 private:
  std::weak_ptr<TimerState> state_;  // weak: what fires often holds the timer itself
};

EventLoop::EventLoop() : impl_{std::make_unique<Impl>()} {
  check(uv_loop_init(&impl_->loop), "uv_loop_init");
  impl_->loop.data = &impl_->open;
  impl_->wake.data = impl_.get();
  check(uv_async_init(&impl_->loop, &impl_->wake,
                      [](uv_async_t* wake) { static_cast<Impl*>(wake->data)->run_tasks(); }),
        "uv_async_init");
  impl_->queue->wake = &impl_->wake;
  impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
}

EventLoop::~EventLoop() {
  if (on_loop_thread()) std::abort();  // would wait for itself
  {
    const std::lock_guard lock{impl_->queue->mutex};
    impl_->stopping = true;
    impl_->queue->wake = nullptr;
    uv_async_send(&impl_->wake);
  }
  impl_->thread.join();
  [[maybe_unused]] const int error = uv_loop_close(&impl_->loop);
  assert(error == 0);
}

std::shared_ptr<EventLoop> released_anywhere(std::shared_ptr<EventLoop> loop) {
  EventLoop* const same = loop.get();
  return {same, [loop = std::move(loop)](EventLoop*) mutable {
            if (!loop->on_loop_thread()) return loop.reset();
            std::thread{[last = std::move(loop)]() mutable { last.reset(); }}.detach();
          }};
}

bool EventLoop::post(std::function<void()> task) { return impl_->queue->push(std::move(task)); }

EventLoop::Poster EventLoop::poster() const {
  return
      [queue = impl_->queue](std::function<void()> task) { return queue->push(std::move(task)); };
}

bool EventLoop::on_loop_thread() const {
  return impl_->thread.get_id() == std::this_thread::get_id();
}

uv_loop_s* EventLoop::uv() const { return &impl_->loop; }

std::shared_ptr<EventLoop::Timer> EventLoop::after(std::chrono::nanoseconds delay,
                                                   std::function<void()> fire) {
  auto state = std::make_shared<TimerState>();
  state->fire = std::move(fire);
  uv_update_time(&impl_->loop);  // the cached time may be old, which would fire early
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(delay).count();
  check(state->handle.open(&impl_->loop, state, uv_timer_init), "uv_timer_init");
  check(uv_timer_start(
            state->handle.get(),
            [](uv_timer_t* handle) {
              const auto timer = owner_of<TimerState>(handle);
              const auto fire_now = std::exchange(timer->fire, nullptr);
              timer->handle.close();
              if (fire_now) fire_now();
            },
            static_cast<std::uint64_t>(std::max<std::int64_t>(whole, 0)), 0),
        "uv_timer_start");
  return std::make_shared<Timer>(state);
}

}  // namespace ndc::runtime
