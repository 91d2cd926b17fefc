// Binds the settings of a block to the members of a struct. A nil or missing value leaves the
// member at its default; a wrong one becomes an error that names the key. All errors of a block are
// collected, none stops the others.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/error.hpp"
#include "model/settings.hpp"
#include "model/value.hpp"

namespace ndc {

// Converters from a Value, one per member type. `key` is the full name for the error.
Expected<std::string> read_string(std::string_view key, const Value& value);
Expected<std::int64_t> read_integer(std::string_view key, const Value& value);
Expected<bool> read_bool(std::string_view key, const Value& value);
Expected<std::vector<std::string>> read_strings(std::string_view key, const Value& value);
Expected<std::vector<std::string>> read_words(std::string_view key, const Value& value);
Expected<std::map<std::string, std::string>> read_string_map(std::string_view key,
                                                             const Value& value);
Expected<std::chrono::nanoseconds> read_duration(std::string_view key, const Value& value);

// kInvalidConfig for `key`, saying what is wrong and, as the hint, what a valid value looks like.
Error invalid_setting(std::string_view key, std::string cause, std::string hint = {});

// `value`, or the errors of its elements as one: the first must not hide the others.
template <class T>
Expected<T> unless(const std::vector<Error>& errors, T value) {
  if (!errors.empty()) return fail(combine({}, {}, errors));
  return value;
}

// False for nil, false, "", empty lists and maps: spelled out, but asking for nothing.
bool asks_for_something(const Value& value);

template <class Config>
class SettingsTable {
 public:
  using Apply = std::function<void(Config&, const std::string& key, const Value&,
                                   std::vector<Error>& errors)>;

  struct Row {
    Setting setting;
    Apply apply;
  };

  SettingsTable(std::initializer_list<Row> rows) : rows_{rows} {}

  Schema schema() const {
    Schema out;
    for (const Row& row : rows_) out.push_back(row.setting);
    return out;
  }

  // `prefix` is what stands before the keys in error texts: "" or "gc.".
  void read(Config& config, const std::string& prefix, const Value& block,
            std::vector<Error>& errors) const {
    if (block.is_nil()) return;
    const Value::Map* map = block.map();
    if (map == nullptr) {
      errors.push_back(
          invalid_setting(prefix, std::string{"expected a block, found a "} + block.type_name()));
      return;
    }
    for (const Row& row : rows_) {
      auto it = map->find(row.setting.key);
      const std::string key = prefix + row.setting.key;
      if (it == map->end() || it->second.is_nil()) {
        if (row.setting.required) errors.push_back(invalid_setting(key, "it is required"));
        continue;
      }
      row.apply(config, key, it->second, errors);
    }
  }

 private:
  std::vector<Row> rows_;
};

// --- rows ---------------------------------------------------------------------------------------

// A setting read by one of the converters above into `member`; `nested` is the schema of a block.
template <class Config, class T, class Member>
typename SettingsTable<Config>::Row setting(std::string key, SettingType type,
                                            Expected<T> (*convert)(std::string_view, const Value&),
                                            Member Config::*member, Schema nested = {}) {
  return {Setting{std::move(key), type, false, std::move(nested)},
          [convert, member](Config& config, const std::string& name, const Value& value,
                            std::vector<Error>& errors) {
            auto read = convert(name, value);
            if (read) {
              config.*member = std::move(*read);
            } else {
              errors.push_back(std::move(read.error()));
            }
          }};
}

template <class Row>
Row required(Row row) {
  row.setting.required = true;
  return row;
}

// A nested block read by `table` into `member`.
template <class Config, class Nested>
typename SettingsTable<Config>::Row block(std::string key, const SettingsTable<Nested>& table,
                                          Nested Config::*member) {
  return {Setting{std::move(key), SettingType::kBlock, false, table.schema()},
          [&table, member](Config& config, const std::string& name, const Value& value,
                           std::vector<Error>& errors) {
            table.read(config.*member, name + ".", value, errors);
          }};
}

}  // namespace ndc
