// A task's environment in the two forms that Apple's CLI takes without showing values to `ps`:
// lines of a file, and names whose values the CLI inherits; and what the CLI has of its own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/error.hpp"

namespace ndc::runtime {

struct AppleEnvironment {
  std::string file;                      // "NAME=value\n" lines, for --env-file
  std::vector<std::string> names;        // for --env=NAME: values that are no line of a file
  std::vector<std::string> own_entries;  // "NAME=value" of those, for the CLI's own environment
  bool operator==(const AppleEnvironment&) const = default;
};

// kInvalidConfig names each variable that cannot be passed on; never a value.
Expected<AppleEnvironment> apple_environment(const std::map<std::string, std::string>& variables);

// What every run of the CLI inherits from this process: what it, the system's libraries and the
// tests need, and nothing else. An image may name a variable without a value, and up to 1.1.0 the
// CLI gives the task its own one: of all others the agent's, tokens among them.
std::vector<std::string> apple_cli_environment();

}  // namespace ndc::runtime
