// How many pulls the engine is at. Shared by an image actor with its successor, as its pulls go on
// when it crashes. Any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <utility>

#include "actors/messages.hpp"

namespace ndc::actors {

class PullSlots {
 public:
  // From here on `images` gets PullSlotFree, until end() with what this returns, or another one.
  std::uint64_t serve(caf::actor images) {
    const std::lock_guard lock{mutex_};
    images_ = std::move(images);
    return ++served_;
  }
  void end(std::uint64_t served) {
    const std::lock_guard lock{mutex_};
    if (served == served_) images_ = nullptr;
  }

  std::int64_t taken() const {
    const std::lock_guard lock{mutex_};
    return taken_;
  }
  void take() {
    const std::lock_guard lock{mutex_};
    ++taken_;
  }
  void give_back() {
    caf::actor images;
    {
      const std::lock_guard lock{mutex_};
      --taken_;
      images = images_;
    }
    act::tell(images, PullSlotFree{});
  }

 private:
  mutable std::mutex mutex_;
  caf::actor images_;
  std::uint64_t served_ = 0;
  std::int64_t taken_ = 0;
};

}  // namespace ndc::actors
