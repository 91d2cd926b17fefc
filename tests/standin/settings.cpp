#include "standin/settings.hpp"

#include <cstdlib>
#include <map>

#include "standin/files.hpp"
#include "standin/text.hpp"

namespace standin {
namespace {

std::map<std::string, std::string>& file_settings() {
  static std::map<std::string, std::string> settings;
  return settings;
}

}  // namespace

void load_settings(const char* argv0) {
  const std::string path = argv0;
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return;
  const auto text = read_file(path.substr(0, slash) + "/standin.env");
  if (!text) return;
  for (const auto& line : split(*text, '\n')) {
    const auto equals = line.find('=');
    if (equals == std::string::npos || line.starts_with('#')) continue;
    file_settings()[trim(line.substr(0, equals))] = line.substr(equals + 1);
  }
}

std::string setting(const std::string& name, const std::string& otherwise) {
  const std::string full = "NDC_STANDIN_" + name;
  if (const char* value = std::getenv(full.c_str())) return value;
  const auto found = file_settings().find(full);
  return found == file_settings().end() ? otherwise : found->second;
}

int64_t setting_ms(const std::string& name, int64_t otherwise) {
  const std::string text = setting(name);
  return text.empty() ? otherwise : std::strtoll(text.c_str(), nullptr, 10);
}

}  // namespace standin
