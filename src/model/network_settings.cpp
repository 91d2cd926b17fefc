#include "model/network_settings.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "model/settings_reader.hpp"
#include "model/task_setting_readers.hpp"

namespace ndc {
namespace {

constexpr std::size_t kMaxHostname = 64;

bool is_host_name(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace

bool is_ip_address(std::string_view text) {
  const std::string copy{text};
  if (copy.find('\0') != std::string::npos) return false;  // inet_pton would stop there
  unsigned char address[16];
  return ::inet_pton(AF_INET, copy.c_str(), address) == 1 ||
         ::inet_pton(AF_INET6, copy.c_str(), address) == 1;
}

Expected<NetworkMode> read_network_mode(std::string_view key, const Value& value) {
  using Kind = NetworkMode::Kind;
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  // "bridge" is the default's name in jobs for Nomad's docker driver.
  if (text->empty() || *text == "default" || *text == "bridge") return NetworkMode{};
  if (*text == "host") return NetworkMode{Kind::kHost, ""};
  if (*text == "none") return NetworkMode{Kind::kNone, ""};
  constexpr std::string_view kTask = "task:";
  if (text->starts_with(kTask) && text->size() > kTask.size()) {
    return NetworkMode{Kind::kTask, text->substr(kTask.size())};
  }
  const bool name_like = std::all_of(text->begin(), text->end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
  if (!name_like || text->front() == '-') {
    return fail(invalid_setting(key, quoted(*text) + " is no network mode",
                                "write \"host\", \"none\", \"task:<name>\" or a network's name"));
  }
  return NetworkMode{Kind::kNamed, *text};
}

Expected<std::optional<std::string>> read_hostname(std::string_view key, const Value& value) {
  auto text = read_optional_name(key, value);
  if (!text || !*text) return text;
  if (!is_host_name(**text) || (*text)->size() > kMaxHostname) {
    return fail(invalid_setting(key, quoted(**text) + " is no host name of at most 64 characters",
                                "use letters, digits, dots and hyphens"));
  }
  return text;
}

Expected<std::vector<std::string>> read_name_servers(std::string_view key, const Value& value) {
  auto servers = read_strings(key, value);
  if (!servers) return servers;
  std::vector<Error> errors;
  for (const std::string& server : *servers) {
    if (is_ip_address(server)) continue;
    errors.push_back(invalid_setting(key, quoted(server) + " is no IP address",
                                     "write for example \"10.0.0.2\""));
  }
  return unless(errors, std::move(*servers));
}

Expected<std::vector<std::string>> read_resolver_words(std::string_view key, const Value& value) {
  auto words = read_strings(key, value);
  if (!words) return words;
  std::vector<Error> errors;
  for (const std::string& word : *words) {
    if (!word.empty() && !has_control_character(word) && word.find(' ') == std::string::npos) {
      continue;
    }
    errors.push_back(invalid_setting(key, quoted(word) + " is no single word"));
  }
  return unless(errors, std::move(*words));
}

Expected<std::vector<ExtraHost>> read_extra_hosts(std::string_view key, const Value& value) {
  auto texts = read_strings(key, value);
  if (!texts) return fail(std::move(texts.error()));
  std::vector<ExtraHost> hosts;
  std::vector<Error> errors;
  for (const std::string& text : *texts) {
    const std::size_t colon = text.find(':');
    ExtraHost host{text.substr(0, colon), colon == std::string::npos ? "" : text.substr(colon + 1)};
    if (host.address.starts_with('[') && host.address.ends_with(']')) {
      host.address = host.address.substr(1, host.address.size() - 2);
    }
    if (!is_host_name(host.name) || !is_ip_address(host.address)) {
      errors.push_back(invalid_setting(key, quoted(text) + " is no host and IP address",
                                       "write for example \"db.internal:10.0.0.7\""));
    }
    hosts.push_back(std::move(host));
  }
  return unless(errors, std::move(hosts));
}

Expected<std::optional<std::string>> read_mac_address(std::string_view key, const Value& value) {
  auto text = read_optional_name(key, value);
  if (!text || !*text) return text;
  const std::string& mac = **text;
  bool valid = mac.size() == 17;
  for (std::size_t i = 0; valid && i < mac.size(); ++i) {
    valid = i % 3 == 2
                ? mac[i] == ':'
                : std::string_view{"0123456789abcdefABCDEF"}.find(mac[i]) != std::string_view::npos;
  }
  if (!valid) {
    return fail(invalid_setting(key, quoted(mac) + " is no MAC address",
                                "write for example \"02:42:ac:11:00:02\""));
  }
  return text;
}

}  // namespace ndc
