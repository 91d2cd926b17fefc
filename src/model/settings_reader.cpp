#include "model/settings_reader.hpp"

#include <charconv>
#include <cmath>

#include "model/duration.hpp"

namespace ndc {
namespace {

Error wrong_type(std::string_view key, const char* wanted, const Value& value) {
  return invalid_setting(key, std::string{"expected "} + wanted + ", found a " + value.type_name());
}

// Scalars as text, for maps: `labels { port = 80 }` is how people write it.
Expected<std::string> scalar_text(std::string_view key, const Value& value) {
  if (const auto* text = value.string()) return *text;
  if (const auto* number = value.integer()) return std::to_string(*number);
  if (const auto* flag = value.boolean()) return std::string{*flag ? "true" : "false"};
  if (const auto* real = value.real()) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, *real).ptr;
    return std::string{buffer, end};
  }
  return fail(wrong_type(key, "a string", value));
}

}  // namespace

Error invalid_setting(std::string_view key, std::string cause, std::string hint) {
  return {.code = ErrorCode::kInvalidConfig,
          .what = "read setting",
          .on = std::string{key},
          .cause = std::move(cause),
          .hint = std::move(hint)};
}

bool asks_for_something(const Value& value) {
  if (value.is_nil()) return false;
  if (const auto* flag = value.boolean()) return *flag;
  if (const auto* text = value.string()) return !text->empty();
  if (const auto* list = value.list()) return !list->empty();
  if (const auto* map = value.map()) {
    for (const auto& [key, nested] : *map) {
      if (asks_for_something(nested)) return true;
    }
    return false;
  }
  return true;
}

Expected<std::string> read_string(std::string_view key, const Value& value) {
  return scalar_text(key, value);
}

Expected<std::int64_t> read_integer(std::string_view key, const Value& value) {
  if (const auto* number = value.integer()) return *number;
  // 2^63 and more cannot be represented; NaN fails the comparison.
  if (const auto* real = value.real()) {
    if (std::floor(*real) == *real && std::abs(*real) < 9.2e18) {
      return static_cast<std::int64_t>(*real);
    }
    return fail(invalid_setting(key, "expected a whole number"));
  }
  if (const auto* text = value.string()) {
    std::int64_t parsed = 0;
    const char* end = text->data() + text->size();
    const auto result = std::from_chars(text->data(), end, parsed);
    if (result.ec == std::errc{} && result.ptr == end) return parsed;
    return fail(invalid_setting(key, "expected a whole number, found " + quoted(*text)));
  }
  return fail(wrong_type(key, "a number", value));
}

Expected<bool> read_bool(std::string_view key, const Value& value) {
  if (const auto* flag = value.boolean()) return *flag;
  if (const auto* text = value.string()) {
    if (*text == "true") return true;
    if (*text == "false") return false;
  }
  return fail(wrong_type(key, "true or false", value));
}

Expected<std::vector<std::string>> read_strings(std::string_view key, const Value& value) {
  const Value::List* list = value.list();
  if (list == nullptr) return fail(wrong_type(key, "a list of strings", value));
  std::vector<std::string> out;
  std::vector<Error> errors;
  for (const Value& element : *list) {
    auto text = scalar_text(std::string{key} + "[" + std::to_string(out.size()) + "]", element);
    if (!text) errors.push_back(std::move(text.error()));
    out.push_back(text ? std::move(*text) : std::string{});
  }
  return unless(errors, std::move(out));
}

Expected<std::vector<std::string>> read_words(std::string_view key, const Value& value) {
  if (const auto* text = value.string()) return std::vector<std::string>{*text};
  return read_strings(key, value);
}

Expected<std::map<std::string, std::string>> read_string_map(std::string_view key,
                                                             const Value& value) {
  std::map<std::string, std::string> out;
  std::vector<Error> errors;
  const auto add = [&](const Value& part) {
    const Value::Map* map = part.map();
    if (map == nullptr) return errors.push_back(wrong_type(key, "a map of strings", part));
    for (const auto& [name, element] : *map) {
      if (element.is_nil()) continue;
      auto text = scalar_text(std::string{key} + "." + name, element);
      if (text) {
        out[name] = std::move(*text);
      } else {
        errors.push_back(std::move(text.error()));
      }
    }
  };
  // A block arrives as a list of maps, repeated blocks as a longer one; later entries win.
  if (const Value::List* list = value.list()) {
    for (const Value& part : *list) add(part);
  } else {
    add(value);
  }
  return unless(errors, std::move(out));
}

Expected<std::chrono::nanoseconds> read_duration(std::string_view key, const Value& value) {
  auto text = scalar_text(key, value);
  if (!text) return fail(std::move(text.error()));
  auto duration = parse_duration(*text);
  if (!duration) {
    return fail(invalid_setting(key, duration.error().message()));
  }
  if (duration->count() <= 0) {
    return fail(invalid_setting(key, "expected a duration above zero, found " + quoted(*text),
                                "write for example \"30s\""));
  }
  return *duration;
}

}  // namespace ndc
