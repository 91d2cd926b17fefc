// Reads an argv the way the imitated CLI does (Swift's argument parser): what it accepts, what it
// rejects with 64 and in which words. Knows nothing of containers.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "standin/grammar_table.hpp"
#include "standin/version.hpp"

namespace standin {

struct Parsed {
  const Command* command = nullptr;
  bool debug = false;
  // By the first long name ("--volume"), or the short one if there is no other ("-n"). A flag has
  // one empty value; of an option that is not repeatable only the last value is left.
  std::map<std::string, std::vector<std::string>, std::less<>> options;
  std::vector<std::string> words;  // positionals, and what is passed through

  bool has(std::string_view name) const { return options.find(name) != options.end(); }
  const std::vector<std::string>& all(std::string_view name) const;
  std::string get(std::string_view name, std::string_view otherwise = {}) const;
};

/// Throws CliError: 64 for what the CLI rejects, 0 for --help and --version (the text is the
/// answer).
Parsed parse(Version version, const std::vector<std::string>& argv);

/// The usage that follows an argv error on stderr.
std::string usage(const std::vector<std::string>& argv, Version version);

std::string version_line(Version version);

}  // namespace standin
