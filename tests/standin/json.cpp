#include "standin/json.hpp"

#include <unistd.h>

#include <algorithm>
#include <functional>

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace standin {
namespace {

using Member = Value::ConstMemberIterator;

std::string quoted(const Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value.Accept(writer);
  std::string text;
  for (const char c : std::string_view(buffer.GetString(), buffer.GetSize())) {
    if (c == '/') text += '\\';
    text += c;
  }
  return text;
}

// Differs from run to run, as Swift's hashing does.
size_t shuffled(const Member& member) {
  const std::string_view name(member->name.GetString(), member->name.GetStringLength());
  return (std::hash<std::string_view>()(name) ^ static_cast<size_t>(getpid())) *
         0x9E3779B97F4A7C15U;
}

std::vector<Member> members(const Value& object, Keys keys) {
  std::vector<Member> list;
  for (auto it = object.MemberBegin(); it != object.MemberEnd(); ++it) list.push_back(it);
  if (keys == Keys::sorted) {
    std::sort(list.begin(), list.end(), [](const Member& a, const Member& b) {
      return std::string_view(a->name.GetString()) < std::string_view(b->name.GetString());
    });
  } else if (keys == Keys::arbitrary) {
    std::sort(list.begin(), list.end(),
              [](const Member& a, const Member& b) { return shuffled(a) < shuffled(b); });
  }
  return list;
}

class Writer {
 public:
  Writer(bool pretty, Keys keys) : pretty_(pretty), keys_(keys) {}

  void write(const Value& value, int depth) {
    if (value.IsObject()) {
      write_list('{', '}', members(value, keys_), depth, [&](const Member& member) {
        text_ += quoted(member->name) + (pretty_ ? " : " : ":");
        write(member->value, depth + 1);
      });
    } else if (value.IsArray()) {
      std::vector<const Value*> items;
      for (const auto& item : value.GetArray()) items.push_back(&item);
      write_list('[', ']', items, depth, [&](const Value* item) { write(*item, depth + 1); });
    } else {
      text_ += quoted(value);
    }
  }

  std::string take() { return std::move(text_); }

 private:
  template <typename List, typename Each>
  void write_list(char open, char close, const List& list, int depth, const Each& each) {
    text_ += open;
    if (list.empty() && pretty_) text_ += "\n";
    bool first = true;
    for (const auto& item : list) {
      if (!first) text_ += ',';
      first = false;
      break_line(depth + 1);
      each(item);
    }
    break_line(depth);
    text_ += close;
  }

  void break_line(int depth) {
    if (pretty_) text_ += "\n" + std::string(static_cast<size_t>(depth) * 2, ' ');
  }

  bool pretty_;
  Keys keys_;
  std::string text_;
};

}  // namespace

std::string to_text(const Value& value, bool pretty, Keys keys) {
  Writer writer(pretty, keys);
  writer.write(value, 0);
  return writer.take();
}

std::string to_plain_text(const Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

std::optional<Json> parse_json(const std::string& text) {
  Json json;
  json.Parse(text.data(), text.size());
  if (json.HasParseError()) return std::nullopt;
  return json;
}

Value str(std::string_view text, Alloc& alloc) {
  return Value(text.data(), static_cast<rapidjson::SizeType>(text.size()), alloc);
}

Value strings(const std::vector<std::string>& list, Alloc& alloc) {
  Value array(rapidjson::kArrayType);
  for (const auto& text : list) array.PushBack(str(text, alloc), alloc);
  return array;
}

void put(Value& object, std::string_view key, Value value, Alloc& alloc) {
  object.AddMember(str(key, alloc), value, alloc);
}

void put(Value& object, std::string_view key, std::string_view text, Alloc& alloc) {
  put(object, key, str(text, alloc), alloc);
}

std::string get_string(const Value& object, const char* key) {
  const auto found = object.FindMember(key);
  if (found == object.MemberEnd() || !found->value.IsString()) return {};
  return {found->value.GetString(), found->value.GetStringLength()};
}

std::vector<std::string> get_strings(const Value& object, const char* key) {
  std::vector<std::string> list;
  const auto found = object.FindMember(key);
  if (found == object.MemberEnd() || !found->value.IsArray()) return list;
  for (const auto& item : found->value.GetArray()) {
    if (item.IsString()) list.emplace_back(item.GetString(), item.GetStringLength());
  }
  return list;
}

bool get_bool(const Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsBool() && found->value.GetBool();
}

}  // namespace standin
