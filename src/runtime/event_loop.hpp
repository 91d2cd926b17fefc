// The one thread on which everything that touches the machine happens: a libuv loop. Processes,
// pipes, FIFOs and timers live there, so that no actor ever waits for the operating system.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

struct uv_loop_s;

namespace ndc::runtime {

class EventLoop {
 public:
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  // Stops the thread. Running child processes are left alone, unless they were started to end with
  // the loop; callbacks that did not run yet are dropped. Must not be called on the loop thread.
  ~EventLoop();

  // Runs `task` on the loop thread, after everything posted before. Any thread. False (and the task
  // is dropped) once the loop is stopping.
  bool post(std::function<void()> task);

  // post(), for callbacks that others hold: may be called when the loop is gone (false).
  using Poster = std::function<bool(std::function<void()>)>;
  Poster poster() const;

  bool on_loop_thread() const;

  // Loop thread only. Handles on it are best made with uv_handle.hpp: then they are closed and
  // their owners freed when the loop ends.
  uv_loop_s* uv() const;

  // A one-shot timer, loop thread only. Destroying or resetting the handle cancels it.
  class Timer;
  std::shared_ptr<Timer> after(std::chrono::nanoseconds delay, std::function<void()> fire);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The same loop for who may let go of it on any thread, as what callbacks hold does: where that is
// the loop's own, another one waits for its end.
std::shared_ptr<EventLoop> released_anywhere(std::shared_ptr<EventLoop> loop);

}  // namespace ndc::runtime
