// Configuration bytes as Nomad's client sends them (msgpack) into a Value. The bytes are untrusted:
// size, depth and number of elements are bounded.
#pragma once

#include <cstddef>
#include <string_view>

#include "model/error.hpp"
#include "model/value.hpp"

namespace ndc::rpc {

inline constexpr std::size_t kMaxMsgpackBytes = std::size_t{16} * 1024 * 1024;
inline constexpr std::size_t kMaxMsgpackDepth = 64;
inline constexpr std::size_t kMaxMsgpackElements = std::size_t{1} * 1024 * 1024;

// No bytes are nil. Text may come as str or bin. Errors are kInvalidConfig: truncated or trailing
// bytes, extension types, integers that no int64 holds, keys that are no text.
Expected<Value> decode_msgpack(std::string_view bytes);

}  // namespace ndc::rpc
