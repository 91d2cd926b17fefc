#include "runtime/apple_errors.hpp"

#include <algorithm>
#include <cctype>
#include <vector>

#include "runtime/apple_words.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxReason = 600;
constexpr const char* kStart = "start it: container system start";
constexpr const char* kUnlock =
    "unlock the login keychain of the agent's user (security unlock-keychain), or run the agent in "
    "that user's session";

struct Rule {
  const char* part;  // of the reason, as apple_words() has it
  ErrorCode code;
  const char* hint;
};

// The first match counts: what is more specific stands first. A part of one word would match a name
// as well, in a text in which nobody has seen one yet: there are two.
const std::vector<Rule>& rules() {
  using enum ErrorCode;
  static const std::vector<Rule> table{
      {"xpc connection error", kRuntimeUnavailable, kStart},
      {"response: 404", kImageNotFound, "check the image's name and tag"},
      {"response: 429", kRegistryUnreachable, "the registry limits pulls: log in or use a mirror"},
      {"response: 5", kRegistryUnreachable, ""},
      {"no credentials found for host", kAuthFailed,
       "give the task an auth block, or log in: container registry login"},
      {"response: 401", kAuthFailed, "check the image's name and the registry's credentials"},
      {"response: 403", kAuthFailed, "check the image's name and the registry's credentials"},
      {"error querying keychain", kAuthFailed, kUnlock},
      {": -25308", kAuthFailed, kUnlock},
      {"code=-25308", kAuthFailed, kUnlock},
      {"image not found", kImageNotFound, "pull the image or check its name"},
      {"no manifest", kImageNotFound, "the image does not exist for this platform"},
      {"unsupported platform", kImageNotFound, "the image does not exist for this platform"},
      {"could not connect", kRegistryUnreachable, "check the registry's address"},
      {"connection refused", kRegistryUnreachable, "check the registry's address"},
      {"connectiontimeout", kRegistryUnreachable, "check the network"},
      {"urlerror", kRegistryUnreachable, "check the network"},
      {"network connection was lost", kRegistryUnreachable, "check the network"},
      {"network is unreachable", kRegistryUnreachable, "check the network"},
      {"network is down", kRegistryUnreachable, "check the network"},
      {"no route to host", kRegistryUnreachable, "check the network"},
      {"appears to be offline", kRegistryUnreachable, "check the network"},
      {"server with the specified hostname", kRegistryUnreachable,
       "check the registry's name and the node's DNS"},
      {"timed out", kRegistryUnreachable, "check the network"},
      {"hostname(s) already exist", kAlreadyExists, "another container has this host name"},
      {"already exists", kAlreadyExists, ""},
      {"errno: 48", kStartFailed, "another process has this port: use another one"},
      {"address already in use", kStartFailed, "another process has this port: use another one"},
      {"errno: 13", kStartFailed, "ports below 1024 may need another host port"},
      {"failed to find target executable", kStartFailed,
       "check the task's command and the image's PATH"},
      {"storage device attachment is invalid", kStartFailed,
       "a named volume can be used by one running container at a time"},
      {"vzerrordomain code=2", kStartFailed,
       "a named volume can be used by one running container at a time"},
      {"nested virtualization", kStartFailed, "this Mac cannot do it: remove virtualization"},
      {"minimum memory", kInvalidConfig, "give the task at least 200 MiB"},
      {"does not exist", kInvalidConfig, "check the source of the mount"},
      {"is not a directory", kInvalidConfig, "check the source of the mount"},
      {"unable to find user", kStartFailed, "check the task's user: the image does not know it"},
      {"no users found", kStartFailed, "check the task's user: the image does not know it"},
      {"container with id * not found", kContainerGone, ""},
      {"container not found", kContainerGone, ""},
      {"network * not found", kInvalidConfig, "create it: container network create"},
      {"network not found", kInvalidConfig, "create it: container network create"},
      {"no such container", kContainerGone, ""},
      {"is not running", kWrongState, ""},
      {"container is stopped", kWrongState, ""},
      {"failed to bootstrap", kStartFailed, ""},
      {"invalidargument: \"", kInvalidConfig, ""},
  };
  return table;
}

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool contains(std::string_view text, std::string_view part) {
  return lower(text).find(part) != std::string::npos;
}

std::string_view last_line(std::string_view text) {
  const std::size_t end = text.find_last_not_of("\r\n \t");
  if (end == std::string_view::npos) return {};
  text = text.substr(0, end + 1);
  const std::size_t begin = text.rfind('\n');
  return begin == std::string_view::npos ? text : text.substr(begin + 1);
}

// The CLI's own error in the last line, if there is one: the task's last output may be in front of
// it, without a line break. "internalError: " within it, or a "TypeError: ", is none.
std::string_view own_error(std::string_view err) {
  constexpr std::string_view kWord = "Error: ";
  const std::string_view line = last_line(err);
  for (std::size_t at = line.find(kWord); at != std::string_view::npos;
       at = line.find(kWord, at + 1)) {
    if (at == 0 || std::isalpha(static_cast<unsigned char>(line[at - 1])) == 0) {
      return line.substr(at);
    }
  }
  return {};
}

}  // namespace

std::string apple_reason(std::string_view err) {
  std::string_view last;
  std::string_view last_error;
  while (!err.empty()) {
    const std::size_t end = err.find('\n');
    const std::string_view line = err.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) last = line;
    if (line.starts_with("Error: ")) last_error = line.substr(7);
    if (end == std::string_view::npos) break;
    err.remove_prefix(end + 1);
  }
  std::string reason = valid_utf8((last_error.empty() ? last : last_error).substr(0, kMaxReason));
  for (char& c : reason) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return reason;
}

bool says_container_not_found(std::string_view err, std::string_view id) {
  const std::string text = lower(err);
  const std::string it = lower(id);
  const auto has = [&](const std::string& part) { return text.find(part) != std::string::npos; };
  return has("container " + it + " not found") || has("container with id " + it + " not found") ||
         (has("container not found: ") && has(it));
}

bool says_image_not_found(std::string_view err) {
  const std::string text = lower(err);
  return text.find("not found") != std::string::npos ||
         text.find("inspecterror") != std::string::npos;
}

bool says_already_exists(std::string_view err) {
  const std::string words = apple_words(err);
  const auto has = [&](const char* part) { return words.find(part) != std::string::npos; };
  return has("container already exists") || has("container with id * already exists");
}

bool says_not_running(std::string_view err) {
  return contains(err, "is not running") || contains(err, "is stopped") ||
         contains(err, "not in running state");
}

bool says_daemon_is_down(std::string_view err) {
  return apple_words(err).find("xpc connection error") != std::string::npos;
}

bool says_daemon_timed_out(std::string_view err) {
  const std::string words = apple_words(apple_reason(err));
  const auto has = [&](const char* part) { return words.find(part) != std::string::npos; };
  if (has("xpc timeout for request")) return true;
  if (has("url") || has("http") || has("connect")) return false;
  return has("timed out") || has_code_word(words, "timeout");
}

bool ends_like_cli_error(std::string_view err) {
  // After the XPC error comes a line with the cure.
  return !own_error(err).empty() || contains(last_line(err), "container system start");
}

bool ends_with_cli_failure(std::string_view err) {
  if (contains(last_line(err), "container system start")) return true;
  const std::string_view line = own_error(err);
  return contains(line, "xpc connection error") || contains(line, "cancellationerror") ||
         contains(line, "failed to start container") || contains(line, "failed to run container") ||
         contains(line, "failed to bootstrap") || contains(line, "runtime client");
}

Error apple_error(std::string what, std::string on, const ExitStatus& status,
                  std::string_view err) {
  Error error{
      ErrorCode::kRuntimeUnavailable, std::move(what), std::move(on), apple_reason(err), {}};
  const std::string words =
      apple_words(says_daemon_is_down(err) ? err : std::string_view{error.cause});
  for (const Rule& rule : rules()) {
    if (words.find(rule.part) == std::string::npos) continue;
    error.code = rule.code;
    error.hint = rule.hint;
    break;
  }
  if (error.cause.empty()) {
    error.cause = "container ended without a word: ";
    error.cause += describe(TaskExit{status, false, {}});
  }
  return error;
}

}  // namespace ndc::runtime
