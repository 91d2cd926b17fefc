#include "standin/grammar.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "standin/text.hpp"

namespace standin {
namespace {

bool is_option_word(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

// The parser cuts all words into tokens before it looks at any of them, up to a "--".
void reject_bad_tokens(const std::vector<std::string>& argv) {
  for (const auto& word : argv) {
    if (word == "--") return;
    if (word.starts_with("---") || word.starts_with("-=") || word.starts_with("--=")) {
      usage_error("Invalid option: " + word);
    }
  }
}

bool is_root_word(const std::string& word) {
  for (const auto& group : groups()) {
    if (word == group.name || word == group.alias) return true;
  }
  return std::any_of(commands().begin(), commands().end(), [&](const Command& command) {
    return command.name.find(' ') == std::string_view::npos &&
           (word == command.name || word == command.alias);
  });
}

// --debug belongs to the root command: it is seen as long as only names of the root came before.
std::vector<std::string> without_debug(const std::vector<std::string>& argv, bool* debug) {
  std::vector<std::string> rest;
  bool leading = true;
  for (const auto& word : argv) {
    if (leading && word == "--debug") {
      *debug = true;
      continue;
    }
    leading = leading && is_root_word(word);
    rest.push_back(word);
  }
  return rest;
}

bool answers_to(std::string_view name, std::string_view alias, const std::string& word) {
  return word == name || (!alias.empty() && word == alias);
}

// Returns the command and sets how many words name it.
const Command* find_command(Version version, const std::vector<std::string>& argv, size_t* used) {
  if (argv.empty()) return nullptr;
  for (const auto& group : groups()) {
    if (!answers_to(group.name, group.alias, argv[0])) continue;
    if (argv.size() < 2) return nullptr;
    for (const auto& command : commands()) {
      const auto space = command.name.find(' ');
      if (space == std::string_view::npos || command.name.substr(0, space) != group.name) continue;
      if (command.since <= version &&
          answers_to(command.name.substr(space + 1), command.alias, argv[1])) {
        *used = 2;
        return &command;
      }
    }
    return nullptr;
  }
  for (const auto& command : commands()) {
    if (command.name.find(' ') == std::string_view::npos && command.since <= version &&
        answers_to(command.name, command.alias, argv[0])) {
      *used = 1;
      return &command;
    }
  }
  return nullptr;
}

std::string key_of(const Option& option) {
  const auto names = split(option.names, ' ');
  for (const auto& name : names) {
    if (name.starts_with("--")) return name;
  }
  return names.front();
}

std::string with_value_name(const std::string& name, const Option& option) {
  const std::string key = key_of(option);
  return name + " <" + key.substr(key.find_first_not_of('-')) + ">";
}

template <typename Int>
bool is_int(const std::string& text) {
  const char* first = text.data();
  const char* last = first + text.size();
  if (text.starts_with('+')) ++first;
  Int value{};
  const auto [end, error] = std::from_chars(first, last, value);
  return error == std::errc() && end == last && first != last && !text.starts_with("+-");
}

bool is_cidr(int family, const std::string& text, unsigned max_prefix) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return false;
  unsigned prefix = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + slash + 1, last, prefix);
  if (error != std::errc() || end != last || prefix > max_prefix) return false;
  in6_addr address{};
  return inet_pton(family, text.substr(0, slash).c_str(), &address) == 1;
}

class Reader {
 public:
  Reader(Version version, const Command& command, std::vector<std::string> words)
      : version_(version), command_(command), words_(std::move(words)) {
    parsed_.command = &command;
  }

  Parsed read() {
    bool terminated = false;
    while (at_ < words_.size()) {
      const std::string word = words_[at_++];
      if (!terminated && word == "--") {
        terminated = true;
      } else if (!terminated && is_option_word(word)) {
        read_option(word);
      } else {
        parsed_.words.push_back(word);
        if (command_.passthrough) {
          // A "--" from here on is a word of the container's command.
          parsed_.words.insert(parsed_.words.end(), words_.begin() + static_cast<ptrdiff_t>(at_),
                               words_.end());
          break;
        }
      }
    }
    check_positionals();
    return std::move(parsed_);
  }

 private:
  const Option* find(const std::string& name) const {
    for (const auto& option : command_.options) {
      if (version_ < option.since || version_ > option.until) continue;
      const auto names = split(option.names, ' ');
      if (std::find(names.begin(), names.end(), name) != names.end()) return &option;
    }
    return nullptr;
  }

  [[noreturn]] void unknown(const std::string& name) const {
    std::string text = "Unknown option '" + name + "'";
    // The parser offers the nearest name; one added or missing character is near enough here.
    for (const auto& option : command_.options) {
      if (version_ < option.since || version_ > option.until) continue;
      for (const auto& known : split(option.names, ' ')) {
        if (known.size() > 4 && name.size() > 4 &&
            (known.starts_with(name) || name.starts_with(known))) {
          usage_error(text + ". Did you mean '" + known + "'?");
        }
      }
    }
    usage_error(text);
  }

  void read_option(const std::string& word) {
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const bool is_long = name.starts_with("--");
    if (name == "--help" || name == "-h") {
      throw CliError(
          0, "OVERVIEW: container " + std::string(command_.name) + "\n\n" + usage_line(command_));
    }
    if (name == "--version") throw CliError(0, version_line(version_));
    const Option* option = find(name);
    if (option == nullptr && !is_long && name.size() > 2 && equals == std::string::npos) {
      return read_cluster(name);
    }
    if (option == nullptr) unknown(name);
    if (option->type == Type::flag) {
      if (equals != std::string::npos && equals + 1 < word.size()) {
        usage_error("The option '" + name + "' does not take any value, but '" +
                    word.substr(equals + 1) + "' was specified.");
      }
      return set_flag(name, *option);
    }
    if (equals != std::string::npos && (!is_long || equals + 1 < word.size())) {
      return set_value(name, *option, word.substr(equals + 1));
    }
    // "--name=" counts as a name without a value.
    if (at_ >= words_.size() || is_option_word(words_[at_])) {
      usage_error("Missing value for '" + with_value_name(name, *option) + "'");
    }
    set_value(name, *option, words_[at_++]);
  }

  void read_cluster(const std::string& name) {
    for (const char letter : name.substr(1)) {
      const std::string one = {'-', letter};
      if (one == "-h") throw CliError(0, usage_line(command_));
      const Option* option = find(one);
      if (option == nullptr) unknown(one);
      if (option->type != Type::flag) {
        usage_error("Missing value for '" + with_value_name(one, *option) + "'");
      }
      set_flag(one, *option);
    }
  }

  void set_flag(const std::string& name, const Option& option) {
    if (!option.exclusive.empty()) {
      for (const auto& other : command_.options) {
        if (other.exclusive == option.exclusive && &other != &option &&
            parsed_.has(key_of(other))) {
          usage_error("Value to be set with flag '" + name + "' had already been set with flag '" +
                      key_of(other) + "'");
        }
      }
    }
    parsed_.options[key_of(option)] = {""};
  }

  void set_value(const std::string& name, const Option& option, const std::string& value) {
    check_type(name, option, value);
    auto& values = parsed_.options[key_of(option)];
    if (!option.repeatable) values.clear();
    values.push_back(value);
  }

  void check_type(const std::string& name, const Option& option, const std::string& value) const {
    bool good = true;
    std::string hint;
    switch (option.type) {
      case Type::flag:
      case Type::text:
        break;
      case Type::int64:
        good = is_int<int64_t>(value);
        break;
      case Type::int32:
        good = is_int<int32_t>(value);
        break;
      case Type::uint32:
        good = is_int<uint32_t>(value);
        break;
      case Type::seconds:
        good = is_int<int64_t>(value) || is_decimal(value);
        break;
      case Type::cidr4:
        good = is_cidr(AF_INET, value, 32);
        break;
      case Type::cidr6:
        good = is_cidr(AF_INET6, value, 128);
        break;
      case Type::format:
      case Type::progress: {
        const auto known = enumeration(option.type, version_);
        good = std::find(known.begin(), known.end(), value) != known.end();
        for (size_t i = 0; i < known.size(); ++i) {
          hint += i == 0 ? "" : i + 1 == known.size() ? " or " : ", ";
          hint += "'" + std::string(known[i]) + "'";
        }
        hint = ". Please provide one of " + hint + ".";
        break;
      }
    }
    if (!good) {
      usage_error("The value '" + value + "' is invalid for '" + with_value_name(name, option) +
                  "'" + hint);
    }
  }

  void check_positionals() const {
    size_t required = 0;
    size_t allowed = 0;
    bool endless = false;
    for (const auto& token : split(command_.positionals, ' ')) {
      if (token == "..." || token == "...]") {
        endless = true;
      } else if (!token.empty()) {
        ++allowed;
        if (token.starts_with('<')) {
          if (parsed_.words.size() < ++required)
            usage_error("Missing expected argument '" + token + "'");
        }
      }
    }
    if (endless || parsed_.words.size() <= allowed) return;
    const std::vector<std::string> extra(parsed_.words.begin() + static_cast<ptrdiff_t>(allowed),
                                         parsed_.words.end());
    if (extra.size() == 1) usage_error("Unexpected argument '" + extra[0] + "'");
    usage_error(std::to_string(extra.size()) + " unexpected arguments: '" + join(extra, "', '") +
                "'");
  }

 public:
  static std::string usage_line(const Command& command) {
    std::string line = "Usage: container " + std::string(command.name);
    if (!command.options.empty()) line += " [<options>]";
    if (!command.positionals.empty()) line += " " + std::string(command.positionals);
    return line;
  }

 private:
  Version version_;
  const Command& command_;
  std::vector<std::string> words_;
  size_t at_ = 0;
  Parsed parsed_;
};

// What is an error only in the sum of its options.
void check_together(Version version, const Parsed& parsed) {
  const auto name = parsed.command->name;
  if ((name == "run" || name == "create") && !is_old(version) && parsed.has("--no-dns")) {
    for (const char* other : {"--dns", "--dns-domain", "--dns-option", "--dns-search"}) {
      if (parsed.has(other)) {
        usage_error("`--no-dns` cannot be used with other DNS configuration flags");
      }
    }
  }
}

}  // namespace

const std::vector<std::string>& Parsed::all(std::string_view name) const {
  static const std::vector<std::string> none;
  const auto found = options.find(name);
  return found == options.end() ? none : found->second;
}

std::string Parsed::get(std::string_view name, std::string_view otherwise) const {
  const auto found = options.find(name);
  return found == options.end() ? std::string(otherwise) : found->second.back();
}

Parsed parse(Version version, const std::vector<std::string>& argv) {
  reject_bad_tokens(argv);
  bool debug = false;
  const auto words = without_debug(argv, &debug);
  size_t used = 0;
  const Command* command = find_command(version, words, &used);
  if (command == nullptr) {
    for (const auto& word : words) {
      if (word == "--version") throw CliError(0, version_line(version));
      if (word == "--help" || word == "-h") break;
      if (!is_root_word(word)) {
        if (is_option_word(word)) usage_error("Unknown option '" + word + "'");
        usage_error("Unexpected argument '" + word + "'");
      }
    }
    throw CliError(0, usage(argv, version));
  }
  Parsed parsed =
      Reader(version, *command, {words.begin() + static_cast<ptrdiff_t>(used), words.end()}).read();
  parsed.debug = debug;
  check_together(version, parsed);
  return parsed;
}

std::string usage(const std::vector<std::string>& argv, Version version) {
  bool debug = false;
  size_t used = 0;
  const Command* command = find_command(version, without_debug(argv, &debug), &used);
  if (command == nullptr) {
    return "Usage: container [--debug] <subcommand>\n"
           "  See 'container --help' for more information.";
  }
  return Reader::usage_line(*command) + "\n  See 'container " + std::string(command->name) +
         " --help' for more information.";
}

}  // namespace standin
