// JSON in the layouts of the imitated CLI: '/' escaped, keys sorted (1.x) or in an arbitrary order
// (0.x), compact or pretty. And short names for building documents.
#pragma once

#include <rapidjson/document.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace standin {

using Json = rapidjson::Document;
using Value = rapidjson::Value;
using Alloc = Json::AllocatorType;

enum class Keys { sorted, arbitrary, as_built };

std::string to_text(const Value& value, bool pretty, Keys keys);
/// Compact, keys as built, '/' not escaped: for records of our own.
std::string to_plain_text(const Value& value);

/// No value if `text` is not JSON.
std::optional<Json> parse_json(const std::string& text);

Value str(std::string_view text, Alloc& alloc);
Value strings(const std::vector<std::string>& list, Alloc& alloc);
void put(Value& object, std::string_view key, Value value, Alloc& alloc);
void put(Value& object, std::string_view key, std::string_view text, Alloc& alloc);

/// Of a missing member, or one of another type: empty.
std::string get_string(const Value& object, const char* key);
std::vector<std::string> get_strings(const Value& object, const char* key);
bool get_bool(const Value& object, const char* key);

}  // namespace standin
