#include "standin/values.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>

#include "standin/text.hpp"

namespace standin {
namespace {

bool is_word(std::string_view text, std::string_view more) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return (std::isalnum(c) != 0 && c < 128) ||
           more.find(static_cast<char>(c)) != std::string::npos;
  });
}

bool starts_alnum(std::string_view text) {
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) != 0;
}

constexpr std::array kCapabilities = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

}  // namespace

void check_container_id(Version version, const std::string& id) {
  const bool good = id.size() >= 2 && starts_alnum(id) && is_word(id, "_.-");
  if (version >= Version::v1_2_2) {
    if (!good || id.size() > 63) fail("container ID " + id + " is not a valid container ID");
  } else if (!good) {
    fail("invalid entity name " + id);
  }
}

bool is_volume_name(const std::string& name) {
  return starts_alnum(name) && name.size() <= 255 && is_word(name, "_.-");
}

bool is_network_name(const std::string& name) {
  const auto good = [](char c) { return std::islower(c) != 0 || std::isdigit(c) != 0; };
  return !name.empty() && name.size() <= 63 && good(name.front()) && good(name.back()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return good(c) || c == '.' || c == '_' || c == '-'; });
}

uint64_t parse_memory(const std::string& text) {
  const std::string low = lower(text);
  const auto digits = low.find_first_not_of("0123456789.");
  const std::string number = low.substr(0, digits);
  std::string unit = digits == std::string::npos ? "" : low.substr(digits);
  if (!is_decimal(number)) fail("invalid memory string: " + text);
  int shift = 0;
  if (!unit.empty()) {
    const auto at = std::string_view("bkmgtp").find(unit[0]);
    const std::string rest = unit.substr(1);
    if (at == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) {
      fail("invalid memory string: " + text);
    }
    shift = static_cast<int>(at) * 10;
  }
  const double bytes = std::ldexp(std::strtod(number.c_str(), nullptr), shift);
  if (!(bytes < 9.2e18)) fail("invalid memory string: " + text);
  return static_cast<uint64_t>(bytes) >> 20 << 20;
}

void check_memory_minimum(Version version, uint64_t bytes) {
  if (bytes >= uint64_t{200} << 20) return;
  const std::string text =
      "minimum memory amount allowed is 200 MiB (got " + std::to_string(bytes) + " bytes)";
  if (version >= Version::v1_2_2) fail(text);
  fail("failed to create container (cause: \"invalidArgument: \"" + text + "\"\")");
}

std::vector<Pair> parse_labels(const std::vector<std::string>& labels) {
  std::map<std::string, std::string> result;
  for (const auto& label : labels) {
    if (label.empty()) fail("label cannot be an empty string");
    // Empty parts vanish when the CLI splits: one '=' at either end, or doubled, is dropped.
    std::vector<std::string> parts;
    for (auto& part : split(label, '=')) {
      if (!part.empty()) parts.push_back(std::move(part));
    }
    if (parts.empty() || parts.size() > 2) fail("invalid label format " + label);
    result[parts[0]] = parts.size() == 2 ? parts[1] : "";
  }
  return {result.begin(), result.end()};
}

void check_resource_label(const Pair& label) {
  const auto& [key, value] = label;
  // Words of lower-case letters, digits and '-', which is at neither end, between '.' and '/'.
  bool good = key.size() <= 128 && key.size() + 1 + value.size() <= 4096;
  char before = '.';
  for (const char c : key + ".") {
    const bool separator = c == '.' || c == '/';
    const bool ordinary = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool at_end = before == '.' || before == '/' || before == '-';
    const bool inside = c == '-' && before != '.' && before != '/';
    good = good && (ordinary || inside || (separator && !at_end));
    before = c;
  }
  if (!good) fail("invalid label key " + key);
}

std::vector<Rlimit> parse_ulimits(const std::vector<std::string>& ulimits) {
  static constexpr std::array kTypes = {"core",    "cpu",      "data",   "fsize",      "locks",
                                        "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                                        "rss",     "rtprio",   "rttime", "sigpending", "stack"};
  const auto number = [](const std::string& whole, const std::string& text) -> uint64_t {
    if (text == "unlimited" || text == "-1") return UINT64_MAX;
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
      fail("invalid ulimit value in '" + whole + "'");
    }
    return value;
  };
  std::vector<Rlimit> result;
  for (const auto& text : ulimits) {
    const auto equals = text.find('=');
    if (equals == std::string::npos) fail("invalid ulimit format '" + text + "'");
    const std::string type = lower(text.substr(0, equals));
    if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
      fail("unsupported ulimit type '" + type + "'");
    }
    const auto parts = split(text.substr(equals + 1), ':');
    if (parts.size() > 2) fail("invalid ulimit format '" + text + "'");
    Rlimit limit{"RLIMIT_", number(text, parts.front()), number(text, parts.back())};
    for (const char c : type) limit.limit += static_cast<char>(std::toupper(c));
    if (limit.soft > limit.hard) fail("ulimit '" + type + "': soft limit exceeds hard limit");
    for (const auto& other : result) {
      if (other.limit == limit.limit) fail("duplicate ulimit type '" + type + "'");
    }
    result.push_back(std::move(limit));
  }
  return result;
}

std::vector<Attachment> parse_networks(const std::vector<std::string>& networks) {
  std::vector<Attachment> result;
  for (const auto& text : networks) {
    const auto parts = split(text, ',');
    Attachment one;
    one.network = parts[0];
    if (one.network.empty()) fail("network name cannot be empty");
    for (size_t i = 1; i < parts.size(); ++i) {
      const auto equals = parts[i].find('=');
      const std::string key = parts[i].substr(0, equals);
      const std::string value = equals == std::string::npos ? "" : parts[i].substr(equals + 1);
      if (key == "mac") {
        const auto bytes = split(value, ':');
        const bool good =
            bytes.size() == 6 && std::all_of(bytes.begin(), bytes.end(), [](const std::string& b) {
              return b.size() == 2 && std::isxdigit(static_cast<unsigned char>(b[0])) != 0 &&
                     std::isxdigit(static_cast<unsigned char>(b[1])) != 0;
            });
        if (!good) fail("invalid MAC address format '" + value + "'");
        one.mac = value;
      } else if (key == "mtu") {
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), one.mtu);
        if (value.empty() || error != std::errc() || end != value.data() + value.size() ||
            one.mtu < 1280 || one.mtu > 65535) {
          fail("invalid mtu value '" + value + "', must be between 1280 and 65535");
        }
      } else {
        fail("unknown network property '" + key + "'");
      }
    }
    result.push_back(std::move(one));
  }
  for (const auto& one : result) {
    if (one.network == "none" && result.size() > 1)
      fail("no other networks may be created along with network none");
  }
  return result;
}

Platform parse_platform(const std::string& text) {
  const auto parts = split(text, '/');
  if (parts.size() < 2 || parts.size() > 3) fail("invalid platform string: " + text);
  Platform platform{lower(parts[0]), normal_architecture(parts[1]), ""};
  if (platform.os != "linux") fail("unsupported platform " + text);
  if (parts.size() == 3) platform.variant = parts[2];
  return platform;
}

std::string normal_architecture(const std::string& name) {
  const std::string low = lower(name);
  if (low == "aarch64") return "arm64";
  if (low == "x86_64" || low == "x86-64") return "amd64";
  for (const char* known : {"arm64", "amd64", "arm", "386", "riscv64", "ppc64le", "s390x"}) {
    if (low == known) return low;
  }
  fail("unsupported architecture " + name);
}

std::string parse_capability(const std::string& name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(c));
  if (upper == "ALL") return upper;
  if (upper.starts_with("CAP_")) upper.erase(0, 4);
  if (std::find(kCapabilities.begin(), kCapabilities.end(), upper) == kCapabilities.end()) {
    fail("invalid capability: " + name);
  }
  return "CAP_" + upper;
}

std::optional<std::string> inherit_env(const std::string& entry) {
  if (entry.find('=') != std::string::npos) return entry;
  const char* value = std::getenv(entry.c_str());
  if (value == nullptr) return std::nullopt;
  return entry + "=" + value;
}

std::vector<std::string> read_env_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("failed to read env file " + path);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  // Every newline that Unicode knows ends a line.
  for (const std::string_view wide : {"\r\n", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
    for (auto at = text.find(wide); at != std::string::npos; at = text.find(wide, at)) {
      text.replace(at, wide.size(), "\n");
    }
  }
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\r' || c == '\v' || c == '\f'; }, '\n');
  std::vector<std::string> entries;
  for (const auto& line : split(text, '\n')) {
    const auto first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line[first] == '#') continue;
    const std::string entry = line.substr(first);
    if (entry.substr(0, entry.find('=')).find_first_of(" \t") != std::string::npos) {
      fail("environment variable '" + entry.substr(0, entry.find('=')) + "' contains whitespace");
    }
    if (auto full = inherit_env(entry)) entries.push_back(*std::move(full));
  }
  return entries;
}

std::vector<std::string> merge_env(const std::vector<std::string>& entries) {
  std::map<std::string, std::string> merged;
  for (const auto& entry : entries) merged[entry.substr(0, entry.find('='))] = entry;
  std::vector<std::string> result;
  result.reserve(merged.size());
  for (auto& [name, entry] : merged) result.push_back(std::move(entry));
  return result;
}

std::string normal_reference(const std::string& reference) {
  std::string rest = reference;
  std::string digest;
  if (const auto at = rest.find('@'); at != std::string::npos) {
    digest = rest.substr(at);
    rest.erase(at);
  }
  std::string domain = "docker.io";
  if (const auto slash = rest.find('/'); slash != std::string::npos) {
    const std::string first = rest.substr(0, slash);
    if (first.find_first_of(".:") != std::string::npos || first.starts_with("localhost")) {
      domain = first;
      rest.erase(0, slash + 1);
    }
  }
  std::string tag;
  const auto colon = rest.rfind(':');
  if (colon != std::string::npos && rest.find('/', colon) == std::string::npos) {
    tag = rest.substr(colon);
    rest.erase(colon);
  }
  const bool good = !rest.empty() && rest.front() != '/' && rest.back() != '/' &&
                    std::all_of(rest.begin(), rest.end(), [](unsigned char c) {
                      return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '/' || c == '.' ||
                             c == '_' || c == '-';
                    });
  if (!good || tag == ":") fail("invalid image reference " + reference);
  if (domain == "docker.io" && rest.find('/') == std::string::npos) rest.insert(0, "library/");
  if (!digest.empty()) return domain + "/" + rest + digest;
  return domain + "/" + rest + (tag.empty() ? ":latest" : tag);
}

}  // namespace standin
