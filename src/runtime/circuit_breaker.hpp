// Stops calling an engine that does not answer, and finds out by itself when it does again. Plain
// logic over a given clock.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace ndc::runtime {

class CircuitBreaker {
 public:
  using Clock = std::chrono::steady_clock;

  // Why a call should not be made now; nullopt: make it. Open, one call in each pause is let
  // through to see whether things are better.
  std::optional<std::string> refusal(Clock::time_point now);

  void succeeded();
  void failed(const std::string& reason, Clock::time_point now);

  bool open() const { return failures_ >= kLimit; }
  // Why it is open: without counters or times.
  const std::string& reason() const { return reason_; }

 private:
  static constexpr int kLimit = 5;  // failures in a row
  static constexpr std::chrono::seconds kFirstPause{2};
  static constexpr std::chrono::seconds kLongestPause{30};

  int failures_ = 0;
  std::string reason_;
  std::chrono::seconds pause_ = kFirstPause;
  Clock::time_point next_try_{};
};

}  // namespace ndc::runtime
