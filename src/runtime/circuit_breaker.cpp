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

}  // namespace ndc::runtime
