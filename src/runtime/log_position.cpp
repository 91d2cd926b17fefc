#include "runtime/log_position.hpp"

#include <cinttypes>
#include <cstddef>
#include <cstdio>

#include "runtime/text_fields.hpp"

namespace ndc::runtime {

std::string log_position_text(const LogPosition& position) {
  char text[96];
  const int size =
      std::snprintf(text, sizeof text, "%020" PRIu64 " %020" PRIu64 " %020" PRIu64 "\n",
                    position.inode, position.offset, position.skip);
  return {text, static_cast<std::size_t>(size)};
}

std::optional<LogPosition> parse_log_position(std::string_view text) {
  LogPosition out;
  const bool whole = take_number(text, out.inode, ' ') && take_number(text, out.offset, ' ') &&
                     take_number(text, out.skip, '\n');
  if (!whole) return std::nullopt;
  return out;
}

}  // namespace ndc::runtime
