#include "model/auth_setting.hpp"

#include "model/settings_reader.hpp"

namespace ndc {
namespace {

const SettingsTable<RegistryAuth>& auth_table() {
  using C = RegistryAuth;
  static const SettingsTable<C> table{
      setting("username", SettingType::kString, read_string, &C::username),
      setting("password", SettingType::kString, read_string, &C::password),
      setting("server_address", SettingType::kString, read_string, &C::server_address),
  };
  return table;
}

bool has_break(std::string_view text) {
  return text.find_first_of(std::string_view{"\0\r\n", 3}) != std::string_view::npos;
}

}  // namespace

const Schema& auth_schema() {
  static const Schema schema = auth_table().schema();
  return schema;
}

Expected<std::optional<RegistryAuth>> read_auth(std::string_view key, const Value& value) {
  RegistryAuth auth;
  std::vector<Error> errors;
  auth_table().read(auth, std::string{key} + ".", value, errors);
  if (!errors.empty()) return fail(combine({}, {}, errors));
  if (auth == RegistryAuth{}) return std::optional<RegistryAuth>{};
  const auto wrong = [&](const char* name, std::string cause, std::string hint = {}) {
    errors.push_back(
        invalid_setting(std::string{key} + "." + name, std::move(cause), std::move(hint)));
  };
  if (auth.username.empty()) {
    wrong("username", "it is missing", "a registry's credentials are a username and a password");
  } else if (auth.username.find(':') != std::string::npos || has_break(auth.username)) {
    wrong("username", "it holds a colon or a line break, which no registry accepts");
  }
  if (has_break(auth.password)) wrong("password", "it holds a line break");
  const std::string& server = auth.server_address;
  if (!server.empty() && (has_break(server) || server.find(' ') != std::string::npos ||
                          registry_host(server).empty())) {
    wrong("server_address", quoted(server) + " is no address of a registry",
          "write for example \"registry.example.com:5000\"");
  }
  return unless(errors, std::optional{std::move(auth)});
}

}  // namespace ndc
