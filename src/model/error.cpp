#include "model/error.hpp"

#include <algorithm>
#include <cstdio>

namespace ndc {
namespace {

// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;   // no overlong forms
    if (first == 0xED) high = 0x9F;  // no surrogates
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;  // nothing above U+10FFFF
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

}  // namespace

std::string Error::message() const {
  std::string text = what;
  if (!on.empty()) text += (text.empty() ? "" : " ") + quoted(on);
  if (!cause.empty()) text += (text.empty() ? "" : ": ") + cause;
  if (!hint.empty()) text += (text.empty() ? "" : "; ") + hint;
  return valid_utf8(text);
}

bool Error::recoverable() const {
  switch (code) {
    case ErrorCode::kRegistryUnreachable:
    case ErrorCode::kRuntimeUnavailable:
    case ErrorCode::kTimeout:
    case ErrorCode::kContainerGone:
      return true;
    default:
      return false;
  }
}

Error Error::wrap(std::string outer_what, std::string outer_on) && {
  Error outer;
  outer.code = code;
  outer.what = std::move(outer_what);
  outer.on = std::move(outer_on);
  outer.hint = std::move(hint);
  hint.clear();
  outer.cause = message();
  return outer;
}

Error combine(std::string what, std::string on, const std::vector<Error>& errors) {
  Error out{.code = ErrorCode::kInvalidConfig, .what = std::move(what), .on = std::move(on)};
  if (!errors.empty() && std::all_of(errors.begin(), errors.end(), [&](const Error& e) {
        return e.code == errors.front().code;
      })) {
    out.code = errors.front().code;
  }
  std::vector<std::string> seen;
  for (const Error& error : errors) {
    std::string message = error.message();
    if (std::find(seen.begin(), seen.end(), message) != seen.end()) continue;
    out.cause += (out.cause.empty() ? "" : " | ") + message;
    seen.push_back(std::move(message));
  }
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : valid_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      char escape[5];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(byte));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace ndc
