#include "runtime/monitor_lines.hpp"

#include <charconv>
#include <system_error>

#include "runtime/text_fields.hpp"

namespace ndc::runtime {
namespace {

// 0 for what is no number above zero.
int number(std::string_view text) {
  int out = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, out);
  return parsed.ec == std::errc{} && parsed.ptr == end && out > 0 ? out : 0;
}

}  // namespace

MonitorNews parse_monitor_news(std::string_view line) {
  if (line == "exit") return {MonitorNews::Kind::kExit, 0};
  if (line == "delivered") return {MonitorNews::Kind::kDelivered, 0};
  if (take(line, "running ")) return {MonitorNews::Kind::kRunning, number(line)};
  return {};
}

MonitorOrder parse_monitor_order(std::string_view line) {
  constexpr int kMost = 9999;
  if (line == "quit") return {MonitorOrder::Kind::kQuit, 0, 0};
  if (line == "keep") return {MonitorOrder::Kind::kKeep, 0, 0};
  std::string_view rows_text;
  if (!take(line, "resize ") || !take_until(line, rows_text, ' ')) return {};
  const int rows = number(rows_text);
  const int columns = number(line);
  if (rows == 0 || rows > kMost || columns == 0 || columns > kMost) return {};
  return {MonitorOrder::Kind::kResize, rows, columns};
}

}  // namespace ndc::runtime
