#include "runtime/apple_labels.hpp"

namespace ndc::runtime {
namespace {

constexpr std::string_view kMark = "b64u.";
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::string encode_label(std::string_view value) {
  if (value.find('=') == std::string_view::npos && !value.starts_with(kMark)) {
    return std::string{value};
  }
  std::string out{kMark};
  unsigned bits = 0;
  int count = 0;
  for (const char c : value) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    count += 8;
    while (count >= 6) {
      count -= 6;
      out += kDigits[(bits >> count) & 63];
    }
  }
  if (count > 0) out += kDigits[(bits << (6 - count)) & 63];
  return out;
}

std::string decode_label(std::string_view value) {
  if (!value.starts_with(kMark)) return std::string{value};
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : value.substr(kMark.size())) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::string{value};
    bits = (bits << 6) | static_cast<unsigned>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>((bits >> count) & 255);
    }
  }
  return out;
}

}  // namespace ndc::runtime
