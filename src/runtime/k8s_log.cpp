#include "runtime/k8s_log.hpp"

#include <optional>

namespace ndc::runtime {
namespace {

struct Record {
  bool full = false;
  std::string_view text;
};

std::optional<Record> parse(std::string_view line) {
  const auto time_end = line.find(' ');
  if (time_end == std::string_view::npos || time_end < 20) return std::nullopt;
  if (line[4] != '-' || line[10] != 'T') return std::nullopt;
  std::string_view rest = line.substr(time_end + 1);
  if (!rest.starts_with("stdout ") && !rest.starts_with("stderr ")) return std::nullopt;
  rest.remove_prefix(7);
  if (rest.size() < 2 || (rest[0] != 'F' && rest[0] != 'P') || rest[1] != ' ') return std::nullopt;
  return Record{rest[0] == 'F', rest.substr(2)};
}

}  // namespace

DecodedLog decode_k8s_log(std::string_view log, bool at_end) {
  DecodedLog out;
  while (out.consumed < log.size()) {
    const std::string_view rest = log.substr(out.consumed);
    const auto newline = rest.find('\n');
    const bool whole = newline != std::string_view::npos;
    if (!whole && !at_end) break;
    const std::string_view line = rest.substr(0, newline);
    if (const auto record = parse(line)) {
      out.text += record->text;
      if (record->full && whole) out.text += '\n';
    } else if (whole) {
      out.text.append(line).append("\n");
    }
    out.consumed += line.size() + (whole ? 1 : 0);
    out.records.push_back({out.consumed, out.text.size()});
  }
  return out;
}

}  // namespace ndc::runtime
