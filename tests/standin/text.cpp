#include "standin/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <random>

#include "standin/grammar.hpp"
#include "standin/version.hpp"

namespace standin {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string all;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i != 0) all += separator;
    all += parts[i];
  }
  return all;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

bool is_decimal(std::string_view text) {
  return !text.empty() && text != "." && std::count(text.begin(), text.end(), '.') <= 1 &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0 || c == '.'; });
}

std::string pseudo_digest(std::string_view text) {
  std::string hex;
  uint64_t hash = 14695981039346656037U;
  for (int round = 0; round < 4; ++round) {
    for (const char c : text) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    }
    hash = (hash ^ static_cast<uint64_t>(round + 1)) * 1099511628211U;
    char part[17];
    std::snprintf(part, sizeof part, "%016llx", static_cast<unsigned long long>(hash));
    hex += part;
  }
  return hex;
}

std::string random_uuid() {
  std::random_device device;
  uint32_t parts[4];
  for (auto& part : parts) part = device();
  char text[37];
  std::snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%04x%08x", parts[0], parts[1] >> 16,
                parts[1] & 0xfffU, 0x8000U | (parts[2] >> 18), parts[2] & 0xffffU, parts[3]);
  return text;
}

std::optional<Version> parse_version(std::string_view text) {
  for (const auto version :
       {Version::v0_11_0, Version::v0_12_3, Version::v1_0_0, Version::v1_1_0, Version::v1_2_2}) {
    if (to_string(version) == text) return version;
  }
  return std::nullopt;
}

std::string_view to_string(Version version) {
  switch (version) {
    case Version::v0_11_0:
      return "0.11.0";
    case Version::v0_12_3:
      return "0.12.3";
    case Version::v1_0_0:
      return "1.0.0";
    case Version::v1_1_0:
      return "1.1.0";
    case Version::v1_2_2:
      return "1.2.2";
  }
  return "";
}

std::string version_line(Version version) {
  const std::string text(to_string(version));
  return "container CLI version " + text +
         " (build: release, commit: " + pseudo_digest(text).substr(0, 7) + ")";
}

}  // namespace standin
