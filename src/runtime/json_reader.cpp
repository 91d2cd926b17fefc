#include "runtime/json_reader.hpp"

namespace ndc::runtime::json {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxText = 64u << 10;

// RapidJSON's parser has no limit of its own for nesting, and iterative parsing still destroys
// recursively.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

std::optional<const char*> parse(std::string_view text, rapidjson::Document& document) {
  if (text.size() > kMaxSize) return "it is too long";
  if (too_deep(text)) return "it is nested too deeply";
  document.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
  if (document.HasParseError()) return "it is no JSON";
  return std::nullopt;
}

const rapidjson::Value* member(const rapidjson::Value* value, const char* name) {
  if (value == nullptr || !value->IsObject()) return nullptr;
  const auto found = value->FindMember(name);
  if (found == value->MemberEnd() || found->value.IsNull()) return nullptr;
  return &found->value;
}

std::string text(const rapidjson::Value* value) {
  if (value == nullptr || !value->IsString() || value->GetStringLength() > kMaxText) return {};
  return {value->GetString(), value->GetStringLength()};
}

std::optional<std::uint64_t> number(const rapidjson::Value* value) {
  if (value == nullptr || !value->IsUint64()) return std::nullopt;
  return value->GetUint64();
}

std::optional<double> real(const rapidjson::Value* value) {
  if (value == nullptr || !value->IsNumber()) return std::nullopt;
  return value->GetDouble();
}

}  // namespace ndc::runtime::json
