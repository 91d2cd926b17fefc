#include "runtime/podman_errors.hpp"

#include <algorithm>
#include <cctype>
#include <vector>

#include "runtime/podman_files.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxReason = 600;
constexpr std::size_t kMaxListed = 8;

struct Rule {
  const char* part;  // of the reason, in lower case
  ErrorCode code;
  const char* hint;
};

// The first match counts: what is more specific stands first.
const std::vector<Rule>& rules() {
  using enum ErrorCode;
  static const std::vector<Rule> table{
      {"no such container", kContainerGone, ""},
      {"name is already in use", kAlreadyExists, "remove that container or rename the task"},
      {"can only create exec sessions on running", kWrongState, ""},
      {"container state improper", kWrongState, ""},
      {"unauthorized", kAuthFailed, "check the image's name and log in: podman login"},
      {"authentication required", kAuthFailed, "check the image's name and log in: podman login"},
      {"invalid username/password", kAuthFailed, "check the registry's credentials"},
      {"access to the resource is denied", kAuthFailed,
       "check the image's name and the registry's credentials"},
      {"denied:", kAuthFailed, "check the image's name and the registry's credentials"},
      {"toomanyrequests", kRegistryUnreachable,
       "the registry limits pulls: log in or use a mirror"},
      {"manifest unknown", kImageNotFound, "check the image's name and tag"},
      {"name unknown", kImageNotFound, "check the image's name"},
      {"no image found in manifest list", kImageNotFound,
       "the image does not exist for this machine's architecture"},
      {"no image found in image index", kImageNotFound,
       "the image does not exist for this machine's architecture"},
      {"statuscode: 401", kAuthFailed, "check the image's name and log in: podman login"},
      {"statuscode: 403", kAuthFailed, "check the image's name and the registry's credentials"},
      {"statuscode: 404", kImageNotFound, "check the image's name and tag"},
      {"statuscode: 429", kRegistryUnreachable,
       "the registry limits pulls: log in or use a mirror"},
      {"invalid status code from registry 404", kImageNotFound,
       "the registry does not have all of the image: push it again"},
      {"did not resolve to an alias", kImageNotFound,
       "write the registry too, for example \"docker.io/library/redis:7\""},
      {"is blocked in", kInvalidConfig, "the node's registries.conf forbids this registry"},
      {"invalid reference format", kInvalidConfig,
       "write for example \"docker.io/library/redis:7\""},
      {"consider removing the image", kRuntimeUnavailable,
       "a pull that was killed left this image half: podman image rm --force its ID"},
      {"image not known", kImageNotFound, "pull the image or check its name"},
      {"connection refused", kRegistryUnreachable, "check the registry's address"},
      {"no such host", kRegistryUnreachable, "check the registry's name and the node's DNS"},
      {"i/o timeout", kRegistryUnreachable, "check the network"},
      {"tls handshake timeout", kRegistryUnreachable, "check the network"},
      {"context deadline exceeded", kRegistryUnreachable, "check the network"},
      {"network is unreachable", kRegistryUnreachable, "check the node's network"},
      {"no route to host", kRegistryUnreachable, "check the node's network"},
      {"connection reset", kRegistryUnreachable, ""},
      {"unexpected eof", kRegistryUnreachable, ""},
      {"temporary failure in name resolution", kRegistryUnreachable, "check the node's DNS"},
      {"server misbehaving", kRegistryUnreachable, "check the node's DNS"},
      {"x509:", kRegistryUnreachable, "the registry's certificate is not trusted on this node"},
      {"server gave http response to https client", kRegistryUnreachable,
       "mark the registry as insecure in registries.conf"},
      {"invalid status code from registry 5", kRegistryUnreachable, ""},
      {"received unexpected http status: 5", kRegistryUnreachable, ""},
      {"requested access", kAuthFailed, "check the registry's credentials"},
      {"--security-opt", kInvalidConfig, "security_opt takes what podman run --security-opt does"},
      {"sysctl ", kInvalidConfig,
       "only settings of the container's own namespaces can be set: net.* and kernel.shm* for "
       "example"},
      {"duplicate mount destination", kInvalidConfig, "give each mount a path of its own"},
      {"address already in use", kStartFailed, "another process has this port: use another one"},
      {"executable file not found", kStartFailed, "check the task's command and the image's PATH"},
      {"invoke a command that was not found", kStartFailed,
       "check the task's command and the image's PATH"},
      {"exec format error", kStartFailed, "the image is for another architecture"},
      {"workdir \"", kStartFailed, "check working_dir"},
      {"unable to find user", kStartFailed, "check the task's user: the image does not know it"},
      {"unable to find group", kStartFailed, "check the task's user: the image does not know it"},
      {"no matching entries in passwd", kStartFailed, "check the task's user"},
      {"network not found", kInvalidConfig, "create it: podman network create"},
      {"statfs", kInvalidConfig, "check the source of the mount"},
      {"setting memory", kStartFailed, "give the task more memory"},
      {"memory limit", kInvalidConfig, "check the task's memory"},
      {"no space left on device", kRuntimeUnavailable, kDiskFull},
      {"not found in $path", kStartFailed, "check the task's command and the image's PATH"},
      {"error setting rlimit", kInvalidConfig, "the node's own limit is lower: lower ulimit"},
      {"unable to start container process", kStartFailed, "check the task's command"},
      {"oci permission denied", kStartFailed, "the task's command cannot be executed"},
      {"oci runtime", kStartFailed, ""},
      {"invalid argument", kStartFailed, ""},
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

// An image may be called "…/access-denied": what podman says of it must not be read as a reason.
std::string without_name(std::string text, const std::string& reference) {
  const std::size_t path = reference.rfind('/') == std::string::npos ? 0 : reference.rfind('/');
  const std::string name = reference.substr(0, reference.find_first_of(":@", path));
  if (name.empty()) return text;
  const auto ends = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.';
  };
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || ends(text[at - 1])) && (end == text.size() || ends(text[end]))) {
      text.erase(at, name.size());
    } else {
      ++at;
    }
  }
  return text;
}

}  // namespace

std::string podman_reason(std::string_view err) {
  std::string_view last;
  std::string_view last_error;
  std::string_view last_other;  // that is no "Error: …"
  std::vector<std::string_view> after_error;
  while (!err.empty()) {
    const std::size_t end = err.find('\n');
    const std::string_view line = err.substr(0, end);
    const bool empty = line.find_first_not_of(" \t\r") == std::string_view::npos;
    if (!empty) last = line;
    if (line.starts_with("Error: ")) {
      last_error = line.substr(7);
      after_error.clear();
    } else if (!empty) {
      last_other = line;
      if (after_error.size() < kMaxListed) after_error.push_back(line);
    }
    if (end == std::string_view::npos) break;
    err.remove_prefix(end + 1);
  }
  // A registry's several complaints are a list below the line that announces it.
  std::string listed;
  if (last_error.ends_with("errors:")) {
    listed = std::string{last_error};
    for (const std::string_view line : after_error) listed += " " + std::string{line};
    last_error = listed;
  }
  // With the passthrough log driver the OCI runtime's words are a line of their own, and podman
  // only says that it did not get them.
  if (last_error.find("no logs from conmon") != std::string_view::npos && !last_other.empty()) {
    last_error = last_other;
  }
  std::string reason = valid_utf8((last_error.empty() ? last : last_error).substr(0, kMaxReason));
  if (reason.size() > kMaxReason) {  // a replacement is longer than the byte that it stands for
    std::size_t end = kMaxReason;
    while ((static_cast<unsigned char>(reason[end]) & 0xC0) == 0x80) --end;
    reason.resize(end);
  }
  for (char& c : reason) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return reason;
}

bool says_no_such_container(std::string_view err) {
  return contains(err, "no such container") || contains(err, "no such object");
}

bool says_made_already(std::string_view err) {
  return contains(err, "has already been created in runtime") ||
         (contains(err, "oci runtime") && contains(err, "already exists"));
}

bool says_short_name_unknown(std::string_view err) {
  return contains(err, "did not resolve to an alias");
}

bool says_name_in_use(std::string_view err) { return contains(err, "name is already in use"); }

std::string holder_of_name(std::string_view err) {
  constexpr std::string_view kBefore = "is already in use by ";
  constexpr std::size_t kIdLength = 64;
  const std::size_t at = err.find(kBefore);
  if (at == std::string_view::npos) return {};
  std::string_view id = err.substr(at + kBefore.size());
  if (id.starts_with('"')) id.remove_prefix(1);  // as some versions write it
  id = id.substr(0, kIdLength);
  return is_container_id(id) ? std::string{id} : std::string{};
}

bool says_has_dependents(std::string_view err) { return contains(err, "has dependent containers"); }

bool says_stopped_meanwhile(std::string_view err) {
  return contains(err, "container state improper: stopped");
}

Error podman_error(std::string what, std::string on, const ExitStatus& status,
                   std::string_view err) {
  Error error{
      ErrorCode::kRuntimeUnavailable, std::move(what), std::move(on), podman_reason(err), {}};
  const std::string text = without_name(lower(error.cause), lower(error.on));
  for (const Rule& rule : rules()) {
    if (text.find(rule.part) == std::string::npos) continue;
    error.code = rule.code;
    error.hint = rule.hint;
    break;
  }
  if (error.cause.empty()) {
    error.cause =
        "podman ended with " + describe(TaskExit{status, false, {}}) + " and gave no reason";
  }
  return error;
}

}  // namespace ndc::runtime
