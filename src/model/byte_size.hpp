// Sizes as job authors write them: "64m", "1g", "134217728".
#pragma once

#include <cstdint>
#include <string_view>

#include "model/error.hpp"

namespace ndc {

// Bytes. A whole number above zero with an optional unit b, k, m, g, t (1024-based, either case,
// "kb" and "kib" mean the same). kInvalidConfig otherwise; the caller adds the key.
Expected<std::int64_t> parse_byte_size(std::string_view text);

}  // namespace ndc
