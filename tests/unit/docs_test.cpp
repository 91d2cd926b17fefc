// docs/configuration.md says what the code says: every key with its type and default, and what each
// engine can do.

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "model/capabilities.hpp"
#include "model/linux_caps.hpp"
#include "model/plugin_config.hpp"
#include "model/task_config.hpp"
#include "runtime/apple_networks.hpp"
#include "support/catch.hpp"
#include "support/places.hpp"

namespace ndc {
namespace {

std::string page() {
  std::ifstream file{std::string{test::places::docs} + "/configuration.md"};
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// From the line `title` to the next heading of the same level, or the end.
std::string section(const std::string& text, const std::string& title) {
  const auto from = text.find("\n" + title + "\n");
  REQUIRE(from != std::string::npos);
  return text.substr(from, text.find("\n## ", from + 1) - from);
}

// ---- what is documented
// ------------------------------------------------------------------------

using Cells = std::vector<std::string>;

// The rows of the section's tables whose first column is in backquotes.
std::vector<Cells> rows(const std::string& text) {
  std::vector<Cells> out;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `")) continue;
    Cells cells;
    std::string cell;
    std::istringstream row{line.substr(1)};
    while (std::getline(row, cell, '|')) {
      const auto first = cell.find_first_not_of(' ');
      const auto last = cell.find_last_not_of(' ');
      cells.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
    }
    out.push_back(std::move(cells));
  }
  return out;
}

// What stands in backquotes.
std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; (at = text.find('`', at)) != std::string::npos;) {
    const auto end = text.find('`', at + 1);
    REQUIRE(end != std::string::npos);
    out.push_back(text.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return out;
}

// One column of the section by key; a key that is there twice fails.
std::map<std::string, std::string> documented(const std::string& text, std::size_t column) {
  std::map<std::string, std::string> out;
  for (const Cells& row : rows(text)) {
    INFO(row.front());
    REQUIRE(row.size() > column);
    for (const std::string& key : words(row.front())) CHECK(out.emplace(key, row[column]).second);
  }
  return out;
}

// ---- what the code has
// -------------------------------------------------------------------------

// A block with this one value, "gc.image" and the like.
Value with(const std::string& key, Value value) {
  const auto dot = key.rfind('.');
  if (dot == std::string::npos) return Value{Value::Map{{key, std::move(value)}}};
  return with(key.substr(0, dot), Value{Value::Map{{key.substr(dot + 1), std::move(value)}}});
}

template <class Decode>
bool takes(Decode decode, const std::string& key, const char* text) {
  Value block = with(key, Value{std::string{text}});
  std::get<Value::Map>(block.data).emplace("image", Value{std::string{"demo:1"}});
  return decode(block).has_value();
}

// As the documentation calls it. A duration is a string for Nomad: it is known by what it takes.
template <class Decode>
std::string type_of(Decode decode, const Setting& setting, const std::string& key) {
  switch (setting.type) {
    case SettingType::kString:
      return takes(decode, key, "1h30m") && !takes(decode, key, "1 hour") &&
                     !takes(decode, key, "demo")
                 ? "duration"
                 : "string";
    case SettingType::kNumber:
      return "number";
    case SettingType::kBool:
      return "bool";
    case SettingType::kStringList:
      return "list(string)";
    case SettingType::kStringMap:
      return "map";
    case SettingType::kWords:
      return "string or list(string)";
    case SettingType::kBlock:
      return "block";
    case SettingType::kBlockList:
      return "blocks";
  }
  return "";
}

// The type of every key, those of nested blocks with a dot.
template <class Decode>
std::map<std::string, std::string> types(Decode decode, const Schema& schema,
                                         const std::string& prefix = "") {
  std::map<std::string, std::string> out;
  for (const Setting& setting : schema) {
    const std::string key = prefix + setting.key;
    out[key] = type_of(decode, setting, key);
    if (key == "mounts") continue;  // the same as `mount`, and documented once
    out.merge(types(decode, setting.nested, key + "."));
  }
  return out;
}

// A documented default as the value that it is: `true`, `3`, `"5m"`, `[]`.
Value literal(const std::string& text) {
  if (text == "true" || text == "false") return Value{text == "true"};
  if (text == "[]") return Value{Value::List{}};
  if (text.size() >= 2 && text.front() == '"') return Value{text.substr(1, text.size() - 2)};
  return Value{std::int64_t{std::atoll(text.c_str())}};
}

// The plugin's configuration where the operator writes down only this.
PluginConfig configured(const std::string& key, Value value) {
  const auto config = decode_plugin_config(with(key, std::move(value)));
  INFO((config ? "" : config.error().message()));
  REQUIRE(config);
  return *config;
}

std::string support(const EngineSupport& engine) {
  if (!engine.since) return "no";
  if (*engine.since == VersionNumber{0, 0, 0}) return "yes";
  return std::to_string(engine.since->major) + "." + std::to_string(engine.since->minor) +
         " and newer";
}

// ---- both compared
// -----------------------------------------------------------------------------

TEST_CASE("the documentation has every key of the plugin's configuration with its type") {
  CHECK(documented(section(page(), "## Plugin"), 1) ==
        types(decode_plugin_config, plugin_schema()));
}

TEST_CASE("the documentation has every key of a task's configuration with its type") {
  CHECK(documented(section(page(), "## Task"), 1) == types(decode_task_config, task_schema()));
  std::map<std::string, Schema> nested;
  for (const Setting& setting : task_schema()) nested[setting.key] = setting.nested;
  CHECK(types(decode_task_config, nested["mounts"], "mount.") ==
        types(decode_task_config, nested["mount"], "mount."));
}

TEST_CASE("the documented defaults of the plugin's configuration are the code's") {
  const std::string text = section(page(), "## Plugin");
  const auto type = documented(text, 1);
  for (const auto& [key, said] : documented(text, 2)) {
    INFO(key << ": " << said);
    const std::string& is = type.at(key);
    if (is == "block") {
      CHECK((said.empty() || said == "none"));
      continue;
    }
    if (key == "allow_caps") continue;  // below
    CHECK_FALSE(said.empty());
    const bool spelled = said.front() == '`';
    // What is said in words is what counts where nothing is written.
    if (!spelled) CHECK((is == "string" || is == "list(string)"));
    const Value nothing = is == "string" ? Value{std::string{}} : Value{Value::List{}};
    CHECK(configured(key, spelled ? literal(words(said).front()) : nothing) == PluginConfig{});
  }
}

TEST_CASE("the documentation has the capabilities that tasks may add by default") {
  const std::string text = page();
  const auto from = text.find("`allow_caps` is by default ");
  REQUIRE(from != std::string::npos);
  std::set<std::string> said;
  for (std::string name : words(text.substr(from, text.find(';', from) - from))) {
    if (name == "allow_caps") continue;
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    said.insert("CAP_" + name);
  }
  CHECK(said == default_allowed_caps());
}

TEST_CASE("the documentation names the private network of an allocation as it is") {
  const std::string text = page();
  for (const std::string& name :
       {runtime::allocation_network("<allocation id>"), std::string{runtime::kNetworkAllocId},
        std::string{runtime::kNetworkNodeId}}) {
    INFO(name);
    CHECK(text.find("`" + name + "`") != std::string::npos);
  }
}

TEST_CASE("the documentation's table of engines is the code's, and has no other rows") {
  std::vector<Cells> expected;
  for (const Capability& row : capabilities()) {
    expected.push_back({std::string{"`"} + row.key + "`", std::string{"`"} + row.feature + "`",
                        support(row.apple), support(row.podman)});
  }
  CHECK(rows(section(page(), "## What each engine can do")) == expected);
}

}  // namespace
}  // namespace ndc
