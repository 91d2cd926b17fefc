// Stops calling an engine that does not answer, and finds out by itself when it does again. Plain
// logic over a given clock.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace ndc::runtime {

struct BreakerLimits {
  int failures = 5;  // in a row
  std::chrono::seconds first_pause{2};
  std::chrono::seconds longest_pause{30};
};

class CircuitBreaker {
 public:
  using Clock = std::chrono::steady_clock;

  explicit CircuitBreaker(BreakerLimits limits = {}) : limits_{limits} {}

  // Why a call should not be made now; nullopt: make it. Open, one call in each pause is let
  // through to see whether things are better.
  std::optional<std::string> refusal(Clock::time_point now);

  void succeeded();
  void failed(const std::string& reason, Clock::time_point now);

  bool open() const { return failures_ >= limits_.failures; }
  // Open, and in one of its pauses. Lets nothing through.
  bool pauses(Clock::time_point now) const { return open() && now < next_try_; }
  // Why it is open: without counters or times.
  const std::string& reason() const { return reason_; }

 private:
  BreakerLimits limits_;
  int failures_ = 0;
  std::string reason_;
  std::chrono::seconds pause_ = limits_.first_pause;
  Clock::time_point next_try_{};
};

}  // namespace ndc::runtime
