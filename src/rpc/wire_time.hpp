// Times and durations on the wire.
#pragma once

#include <chrono>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "model/task_exit.hpp"

namespace ndc::rpc {

// Go's zero time, which stands for "not yet": 0001-01-01.
inline constexpr std::int64_t kGoZeroSeconds = -62135596800;

// A default WallTime becomes Go's zero time.
google::protobuf::Timestamp to_timestamp(WallTime at);

// Negative ones become zero; ones beyond 290 years are cut there.
std::chrono::nanoseconds to_nanoseconds(const google::protobuf::Duration& duration);

}  // namespace ndc::rpc
