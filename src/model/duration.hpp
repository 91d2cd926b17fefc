// Durations as operators write them: Go's notation, "5m", "1h30m", "250ms". And how long "for ever"
// is.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "model/error.hpp"

namespace ndc {

// Units h, m, s, ms, us, ns; a sum such as "1h30m"; "0" needs no unit. Signs, spaces and
// anything that exceeds 290 years are errors (kInvalidConfig; the caller adds the key).
Expected<std::chrono::nanoseconds> parse_duration(std::string_view text);

// The shortest notation that parses back to the same value.
std::string format_duration(std::chrono::nanoseconds duration);

// nanoseconds::max() from now lies in the past: sums of time points wrap around. So nothing waits
// for longer than this, which is as good as for ever.
inline constexpr std::chrono::hours kLongestWait{365 * 24};

template <class Rep, class Period>
constexpr std::chrono::nanoseconds bounded_wait(std::chrono::duration<Rep, Period> wait) {
  // Compared in its own unit: in nanoseconds seconds::max() is a negative number.
  if (wait >= kLongestWait) return kLongestWait;
  return wait;
}

}  // namespace ndc
