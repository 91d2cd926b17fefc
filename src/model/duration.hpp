// Durations as operators write them: Go's notation, "5m", "1h30m", "250ms".
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

}  // namespace ndc
