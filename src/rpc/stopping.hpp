// The plugin's way down: the controller service asks for it, the main thread waits for it, and
// calls that end meanwhile look at it.
#pragma once

#include <condition_variable>
#include <mutex>

namespace ndc::rpc {

class Stopping {
 public:
  void ask() {
    {
      const std::lock_guard lock{mutex_};
      asked_ = true;
    }
    changed_.notify_all();
  }

  void wait() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return asked_; });
  }

  bool asked() const {
    const std::lock_guard lock{mutex_};
    return asked_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
};

}  // namespace ndc::rpc
