// Stops calling an engine that does not answer, and finds out by itself when it does again. Plain
// logic over a given clock.
#pragma once

#include <chrono>
#include <map>
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

// One for each kind of call: that calls of another kind succeed says nothing about one that always
// fails. While one of them pauses nothing is called; then those of another kind are, and one of its
// own, as above.
class CircuitBreakers {
 public:
  using Clock = CircuitBreaker::Clock;

  // `call`: of a fixed set ("image inspect").
  std::optional<std::string> refusal(const std::string& call, Clock::time_point now);
  void succeeded(const std::string& call);
  void failed(const std::string& call, const std::string& reason, Clock::time_point now);

  // Why one of them is open; nullopt: none is.
  std::optional<std::string> open() const;
  // Why nothing, or nothing but a call of one kind, is called now.
  std::optional<std::string> pauses(Clock::time_point now) const;

 private:
  std::map<std::string, CircuitBreaker> breakers_;
};

}  // namespace ndc::runtime
