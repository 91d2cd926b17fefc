// The option grammar of every version as data: which subcommand takes which options. One row holds
// for the versions `since` to `until`.
#pragma once

#include <span>
#include <string_view>

#include "standin/version.hpp"

namespace standin {

enum class Type { flag, text, int64, int32, uint32, seconds, cidr4, cidr6, format, progress };

struct Option {
  std::string_view names;  // separated by a space, the first long one is the option's key
  Type type = Type::text;
  bool repeatable = false;
  Version since = kOldest;
  Version until = kNewest;
  std::string_view exclusive = {};  // options with the same word exclude each other
};

struct Command {
  std::string_view name;         // "run", "image pull"
  std::string_view alias;        // of the last word
  std::string_view positionals;  // as in the usage line
  bool passthrough = false;      // option parsing ends at the first positional
  std::span<const Option> options = {};
  Version since = kOldest;
};

struct Group {
  std::string_view name;
  std::string_view alias;
};

std::span<const Command> commands();
std::span<const Group> groups();

/// The words that an option of this type takes, empty if it is no enumeration.
std::span<const std::string_view> enumeration(Type type, Version version);

}  // namespace standin
