#include "runtime/apple_environment.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "runtime/process.hpp"

namespace ndc::runtime {
namespace {

// All that the CLI inherits must fit beside its argv into 1 MiB on macOS; the kernel's limit for
// one string is 128 KiB on Linux.
constexpr std::size_t kMaxInherited = 120u << 10;

Error refused(const std::string& name, std::string cause, std::string hint = {}) {
  return {ErrorCode::kInvalidConfig, "pass environment variable", name, std::move(cause),
          std::move(hint)};
}

// Keys in a file may hold no blank, and a line that begins with '#' is skipped.
bool is_name(std::string_view name) {
  if (name.empty() || name.front() == '#' || valid_utf8(name) != name) return false;
  // NEL and no-break space count as blanks for the CLI; names with them are nobody's intent.
  if (name.find("\xC2\x85") != std::string_view::npos ||
      name.find("\xC2\xA0") != std::string_view::npos ||
      name.find("\xE2\x80") != std::string_view::npos ||
      name.find("\xE3\x80\x80") != std::string_view::npos) {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7F && c != '=';
  });
}

// Any of Unicode's line ends splits a line of the file.
bool is_line(std::string_view value) {
  return value.find_first_of("\n\r\v\f") == std::string_view::npos &&
         value.find("\xC2\x85") == std::string_view::npos &&      // NEL
         value.find("\xE2\x80\xA8") == std::string_view::npos &&  // LS
         value.find("\xE2\x80\xA9") == std::string_view::npos;    // PS
}

bool is_one_of(std::string_view name, const std::vector<std::string_view>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool begins_with_one_of(std::string_view name, const std::vector<std::string_view>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

// Variables that the CLI, the system's libraries or the loader read themselves.
bool changes_cli(std::string_view name) {
  static const std::vector<std::string_view> names{"PATH",  "HOME", "TMPDIR",        "USER",
                                                   "SHELL", "TERM", "SSH_AUTH_SOCK", "LANG",
                                                   "TZ",    "PWD",  "LOGNAME"};
  static const std::vector<std::string_view> prefixes{
      "CONTAINER_", "DYLD_", "LD_",     "LC_",    "XPC_", "CF",     "__",     "NS",
      "SWIFT_",     "OS_",   "MALLOC_", "Malloc", "HTTP", "LIBXPC", "GLIBC_", "NDC_STANDIN_"};
  return is_one_of(name, names) || begins_with_one_of(name, prefixes) || name.ends_with("_PROXY") ||
         name.ends_with("_proxy");
}

}  // namespace

std::vector<std::string> apple_cli_environment() {
  auto out = child_environment({"SSH_AUTH_SOCK"}, {"CONTAINER_", "XPC_", "__CF"});
  // Credentials, and only `container system start` reads them.
  std::erase_if(out, [](const auto& entry) { return entry.starts_with("CONTAINER_REGISTRY_"); });
  return out;
}

Expected<AppleEnvironment> apple_environment(const std::map<std::string, std::string>& variables) {
  AppleEnvironment out;
  std::vector<Error> errors;
  std::size_t inherited = 0;
  for (const auto& [name, value] : variables) {
    if (!is_name(name)) {
      errors.push_back(refused(valid_utf8(name), "Apple's container cannot pass on this name"));
    } else if (value.find('\0') != std::string::npos || valid_utf8(value) != value) {
      errors.push_back(
          refused(name, "its value is no text in UTF-8", "use a template with a file"));
    } else if (is_line(value)) {
      out.file.append(name).append("=").append(value).append("\n");
    } else if (changes_cli(name)) {
      errors.push_back(refused(name,
                               "a value with line breaks is not possible for this name, which the "
                               "CLI reads itself",
                               "use another name, or a template with a file"));
    } else if (inherited += name.size() + value.size() + 2; inherited > kMaxInherited) {
      errors.push_back(refused(name, "the values with line breaks are longer than 120 KiB together",
                               "use a template with a file"));
    } else {
      out.names.push_back(name);
      out.own_entries.emplace_back(name).append("=").append(value);
    }
  }
  if (!errors.empty()) return fail(combine("prepare environment", {}, errors));
  return out;
}

}  // namespace ndc::runtime
