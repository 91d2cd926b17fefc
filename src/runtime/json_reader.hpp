// Careful reading of the JSON of command line tools: bounded in size and depth, and no key is ever
// taken for granted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <rapidjson/document.h>

namespace ndc::runtime::json {

inline constexpr std::size_t kMaxSize = 64u << 20;

// What is wrong with it ("it is no JSON"), or nullopt and the document.
std::optional<const char*> parse(std::string_view text, rapidjson::Document& document);

// Null where `value` is null, is no object or has no such member, or where that is JSON's null.
const rapidjson::Value* member(const rapidjson::Value* value, const char* name);
// Along several names.
template <class... Names>
const rapidjson::Value* member(const rapidjson::Value* value, const char* first, Names... rest) {
  return member(member(value, first), rest...);
}

std::string text(const rapidjson::Value* value);  // empty where it is no string
std::optional<std::uint64_t> number(const rapidjson::Value* value);
std::optional<double> real(const rapidjson::Value* value);

// `visit(element)` for each element of an array; nothing for anything else.
template <class Visit>
void each(const rapidjson::Value* value, Visit&& visit) {
  if (value == nullptr || !value->IsArray()) return;
  for (const auto& element : value->GetArray()) visit(&element);
}

}  // namespace ndc::runtime::json
