// docs/configuration.md says what the code says: every key, and what each engine can do.

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "model/capabilities.hpp"
#include "model/plugin_config.hpp"
#include "model/task_config.hpp"
#include "runtime/apple_networks.hpp"
#include "support/catch.hpp"

namespace ndc {
namespace {

std::string page() {
  std::ifstream file{NDC_DOCS "/configuration.md"};
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string section(const std::string& text, const std::string& title, const std::string& next) {
  const auto from = text.find("\n" + title + "\n");
  REQUIRE(from != std::string::npos);
  const auto to = text.find("\n" + next + "\n", from);
  REQUIRE(to != std::string::npos);
  return text.substr(from, to - from);
}

// What stands in backquotes in the first column of the section's tables.
std::set<std::string> documented(const std::string& text) {
  std::set<std::string> out;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `")) continue;
    const std::string column = line.substr(0, line.find(" |", 2));
    for (std::size_t at = 0; (at = column.find('`', at)) != std::string::npos;) {
      const auto end = column.find('`', at + 1);
      out.insert(column.substr(at + 1, end - at - 1));
      at = end + 1;
    }
  }
  return out;
}

std::set<std::string> keys(const Schema& schema) {
  std::set<std::string> out;
  for (const Setting& setting : schema) out.insert(setting.key);
  return out;
}

const Setting& find(const Schema& schema, const std::string& key) {
  for (const Setting& setting : schema) {
    if (setting.key == key) return setting;
  }
  FAIL("no setting " << key);
  return schema.front();
}

std::string support(const EngineSupport& engine) {
  if (!engine.since) return "no";
  if (*engine.since == VersionNumber{0, 0, 0}) return "yes";
  return std::to_string(engine.since->major) + "." + std::to_string(engine.since->minor) +
         " and newer";
}

TEST_CASE("the documentation has every key of the plugin's configuration and no other") {
  const std::string text = page();
  CHECK(documented(section(text, "## Plugin", "### gc")) == keys(plugin_schema()));
  CHECK(documented(section(text, "### gc", "### volumes")) ==
        keys(find(plugin_schema(), "gc").nested));
  CHECK(documented(section(text, "### volumes", "## Task")) ==
        keys(find(plugin_schema(), "volumes").nested));
}

TEST_CASE("the documentation has every key of a task's configuration and no other") {
  CHECK(documented(section(page(), "## Task", "## What each engine can do")) ==
        keys(task_schema()));
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

TEST_CASE("the documentation's table of engines is the code's") {
  const std::string text = page();
  for (const Capability& row : capabilities()) {
    const std::string line = std::string{"| `"} + row.key + "` | `" + row.feature + "` | " +
                             support(row.apple) + " | " + support(row.podman) + " |";
    INFO(line);
    CHECK(text.find(line) != std::string::npos);
  }
}

}  // namespace
}  // namespace ndc
