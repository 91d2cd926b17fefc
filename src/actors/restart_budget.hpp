// Restart intensity, after OTP: so many restarts within a window, then give up.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>

#include "model/duration.hpp"

namespace ndc::actors {

class RestartBudget {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RestartBudget(int limit = 3, std::chrono::seconds window = std::chrono::seconds{60})
      : limit_{limit}, window_{std::min<std::chrono::seconds>(window, kLongestWait)} {}

  // Counts one failure at `now`; false if it is one too many.
  bool spend(Clock::time_point now = Clock::now()) {
    while (!spent_.empty() && now - spent_.front() > window_) spent_.pop_front();
    spent_.push_back(now);
    return static_cast<int>(spent_.size()) <= limit_;
  }

 private:
  int limit_;
  std::chrono::seconds window_;
  std::deque<Clock::time_point> spent_;
};

}  // namespace ndc::actors
