#include "rpc/wire_time.hpp"

#include <algorithm>

namespace ndc::rpc {

google::protobuf::Timestamp to_timestamp(WallTime at) {
  google::protobuf::Timestamp out;
  if (at == WallTime{}) {
    out.set_seconds(kGoZeroSeconds);
    return out;
  }
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(at - seconds);
  out.set_seconds(seconds.time_since_epoch().count());
  out.set_nanos(static_cast<std::int32_t>(rest.count()));
  return out;
}

std::chrono::nanoseconds to_nanoseconds(const google::protobuf::Duration& duration) {
  constexpr std::int64_t kMaxSeconds = 9'000'000'000;
  if (duration.seconds() < 0 || duration.nanos() < 0) return {};
  return std::chrono::seconds{std::min<std::int64_t>(duration.seconds(), kMaxSeconds)} +
         std::chrono::nanoseconds{std::min(duration.nanos(), 999'999'999)};
}

}  // namespace ndc::rpc
