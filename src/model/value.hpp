// A decoded configuration value, as Nomad sends it: a tree of nil, bool, number, string, list, map.
// Plain data; the RPC layer fills it from msgpack, the settings reader takes it apart.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace ndc {

struct Value {
  using List = std::vector<Value>;
  using Map = std::map<std::string, Value>;

  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Map> data;

  bool is_nil() const { return std::holds_alternative<std::monostate>(data); }
  const bool* boolean() const { return std::get_if<bool>(&data); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data); }
  const double* real() const { return std::get_if<double>(&data); }
  const std::string* string() const { return std::get_if<std::string>(&data); }
  const List* list() const { return std::get_if<List>(&data); }
  const Map* map() const { return std::get_if<Map>(&data); }

  // "string", "number", "list" …: the word an error message uses for what is there.
  const char* type_name() const;

  bool operator==(const Value&) const = default;
};

}  // namespace ndc
