#include "model/byte_size.hpp"

#include <cctype>
#include <charconv>
#include <limits>
#include <string>

namespace ndc {
namespace {

tl::unexpected<Error> bad_size(std::string_view text, std::string why) {
  return fail({.code = ErrorCode::kInvalidConfig,
               .what = "parse size",
               .on = std::string{text},
               .cause = std::move(why),
               .hint = "write for example \"64m\" or \"1g\""});
}

}  // namespace

Expected<std::int64_t> parse_byte_size(std::string_view text) {
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec == std::errc::result_out_of_range) return bad_size(text, "it is too large");
  if (parsed.ec != std::errc{}) return bad_size(text, "a number is missing");
  if (number <= 0) return bad_size(text, "it has to be above zero");
  std::string unit;
  for (const char* c = parsed.ptr; c != end; ++c) {
    unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
  }
  constexpr std::string_view kUnits = "bkmgt";
  const std::size_t power = unit.empty() ? 0 : kUnits.find(unit.front());
  const std::string rest = unit.empty() ? "" : unit.substr(1);
  const bool known = power != std::string_view::npos &&
                     (rest.empty() || (power > 0 && (rest == "b" || rest == "ib")));
  if (!known) return bad_size(text, "unknown unit " + quoted(unit));
  for (std::size_t i = 0; i < power; ++i) {
    if (number > std::numeric_limits<std::int64_t>::max() / 1024) {
      return bad_size(text, "it is too large");
    }
    number *= 1024;
  }
  return number;
}

}  // namespace ndc
