#include "runtime/circuit_breaker.hpp"

#include <algorithm>

namespace ndc::runtime {

std::optional<std::string> CircuitBreaker::refusal(Clock::time_point now) {
  if (!open()) return std::nullopt;
  if (pauses(now)) return reason_;
  next_try_ = now + pause_;
  return std::nullopt;
}

void CircuitBreaker::succeeded() {
  failures_ = 0;
  pause_ = limits_.first_pause;
}

void CircuitBreaker::failed(const std::string& reason, Clock::time_point now) {
  const bool was_open = open();
  ++failures_;
  if (!open()) return;
  reason_ = reason;
  if (was_open) pause_ = std::min(2 * pause_, limits_.longest_pause);
  next_try_ = now + pause_;
}

std::optional<std::string> CircuitBreakers::refusal(const std::string& call,
                                                    Clock::time_point now) {
  for (const auto& [other, breaker] : breakers_) {
    if (other != call && breaker.pauses(now)) return breaker.reason();
  }
  return breakers_[call].refusal(now);
}

void CircuitBreakers::succeeded(const std::string& call) { breakers_[call].succeeded(); }

void CircuitBreakers::failed(const std::string& call, const std::string& reason,
                             Clock::time_point now) {
  breakers_[call].failed(reason, now);
}

std::optional<std::string> CircuitBreakers::open() const {
  for (const auto& [call, breaker] : breakers_) {
    if (breaker.open()) return breaker.reason();
  }
  return std::nullopt;
}

std::optional<std::string> CircuitBreakers::pauses(Clock::time_point now) const {
  for (const auto& [call, breaker] : breakers_) {
    if (breaker.pauses(now)) return breaker.reason();
  }
  return std::nullopt;
}

}  // namespace ndc::runtime
