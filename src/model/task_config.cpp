#include "model/task_config.hpp"

#include <algorithm>

#include "model/settings_reader.hpp"
#include "model/signals.hpp"

namespace ndc {
namespace {

using T = SettingType;

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

Expected<std::string> read_image(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return text;
  if (text->empty() || text->front() == '-' || has_control_character(*text) ||
      text->find(' ') != std::string::npos) {
    return fail(invalid_setting(key, quoted(*text) + " is no image reference",
                                "write for example \"docker.io/library/redis:7\""));
  }
  return text;
}

// Strings that end up as one word of a command line: anything but NUL and line breaks.
Expected<std::optional<std::string>> read_optional_string(std::string_view key,
                                                          const Value& value) {
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  if (text->find('\0') != std::string::npos) {
    return fail(invalid_setting(key, "it contains a NUL byte"));
  }
  return std::optional<std::string>{std::move(*text)};
}

// A setting where the empty string means the same as leaving it out.
Expected<std::optional<std::string>> read_optional_name(std::string_view key, const Value& value) {
  auto text = read_optional_string(key, value);
  if (!text || (*text)->empty()) return text ? std::optional<std::string>{} : text;
  if (has_control_character(**text) || (*text)->front() == '-') {
    return fail(invalid_setting(key, quoted(**text) + " is not valid"));
  }
  return text;
}

Expected<std::optional<std::string>> read_working_dir(std::string_view key, const Value& value) {
  auto text = read_optional_name(key, value);
  if (text && *text && (*text)->front() != '/') {
    return fail(
        invalid_setting(key, "expected an absolute path in the container, found " + quoted(**text),
                        "write for example \"/srv/app\""));
  }
  return text;
}

Expected<std::optional<std::vector<std::string>>> read_entrypoint(std::string_view key,
                                                                  const Value& value) {
  auto words = read_words(key, value);
  if (!words) return fail(std::move(words.error()));
  return std::optional<std::vector<std::string>>{std::move(*words)};
}

Expected<std::map<std::string, std::string>> read_env(std::string_view key, const Value& value) {
  auto env = read_string_map(key, value);
  if (!env) return env;
  for (const auto& [name, text] : *env) {
    if (name.empty() || name.find('=') != std::string::npos || has_control_character(name)) {
      return fail(invalid_setting(key, quoted(name) + " is no name of a variable"));
    }
    if (text.find('\0') != std::string::npos) {
      return fail(invalid_setting(std::string{key} + "." + name, "it contains a NUL byte"));
    }
  }
  return env;
}

Expected<std::vector<Volume>> read_volumes(std::string_view key, const Value& value) {
  auto texts = read_strings(key, value);
  if (!texts) return fail(std::move(texts.error()));
  std::vector<Volume> volumes;
  for (const std::string& text : *texts) {
    const auto parts = split(text, ':');
    const char* hint = "write \"host:container\" or \"host:container:ro\"";
    if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[0].front() == '-' ||
        has_control_character(text)) {
      return fail(invalid_setting(key, quoted(text) + " is no volume", hint));
    }
    if (parts[1].empty() || parts[1].front() != '/') {
      return fail(invalid_setting(
          key, quoted(text) + ": the path in the container must be absolute", hint));
    }
    Volume volume{parts[0], parts[1], {}};
    if (parts.size() == 3) volume.options = split(parts[2], ',');
    volumes.push_back(std::move(volume));
  }
  return volumes;
}

Expected<std::vector<Tmpfs>> read_tmpfs(std::string_view key, const Value& value) {
  auto texts = read_strings(key, value);
  if (!texts) return fail(std::move(texts.error()));
  std::vector<Tmpfs> mounts;
  for (const std::string& text : *texts) {
    const std::size_t colon = text.find(':');
    if (text.empty() || text.front() != '/' || has_control_character(text)) {
      return fail(invalid_setting(key, quoted(text) + " is no tmpfs",
                                  "write for example \"/run:size=64m,mode=1777\""));
    }
    mounts.push_back(
        {text.substr(0, colon), colon == std::string::npos ? "" : text.substr(colon + 1)});
  }
  return mounts;
}

Expected<NetworkMode> read_network_mode(std::string_view key, const Value& value) {
  using Kind = NetworkMode::Kind;
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  if (text->empty() || *text == "default") return NetworkMode{};
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

Expected<PullPolicy> read_pull_policy(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  if (text->empty() || *text == "missing") return PullPolicy::kMissing;
  if (*text == "always") return PullPolicy::kAlways;
  if (*text == "never") return PullPolicy::kNever;
  return fail(invalid_setting(key, "unknown policy " + quoted(*text),
                              "write \"missing\", \"always\" or \"never\""));
}

// force_pull = true is pull_policy = "always".
Expected<PullPolicy> read_force_pull(std::string_view key, const Value& value) {
  auto flag = read_bool(key, value);
  if (!flag) return fail(std::move(flag.error()));
  return *flag ? PullPolicy::kAlways : PullPolicy::kMissing;
}

Expected<std::optional<std::chrono::nanoseconds>> read_optional_duration(std::string_view key,
                                                                         const Value& value) {
  auto duration = read_duration(key, value);
  if (!duration) return fail(std::move(duration.error()));
  return std::optional<std::chrono::nanoseconds>{*duration};
}

Expected<std::optional<std::string>> read_signal(std::string_view key, const Value& value) {
  auto text = read_optional_string(key, value);
  if (!text || (*text)->empty()) return text ? std::optional<std::string>{} : text;
  if (auto number = signal_number(**text); !number) {
    return fail(invalid_setting(key, number.error().message()));
  }
  return text;
}

const SettingsTable<TaskConfig>& task_table() {
  using C = TaskConfig;
  const Schema auth{{"username", T::kString, false, true, {}},
                    {"password", T::kString, false, true, {}},
                    {"server_address", T::kString, false, true, {}}};
  const Schema mount{{"type", T::kString, false, true, {}},
                     {"source", T::kString, false, true, {}},
                     {"target", T::kString, false, true, {}},
                     {"readonly", T::kBool, false, true, {}}};
  const Schema device{{"host_path", T::kString, false, true, {}},
                      {"container_path", T::kString, false, true, {}},
                      {"cgroup_permissions", T::kString, false, true, {}}};
  static const SettingsTable<C> table{
      setting("image", T::kString, read_image, &C::image, true),
      setting("command", T::kString, read_optional_string, &C::command),
      setting("args", T::kStringList, read_strings, &C::args),
      setting("entrypoint", T::kWords, read_entrypoint, &C::entrypoint),
      setting("working_dir", T::kString, read_working_dir, &C::working_dir),
      setting("work_dir", T::kString, read_working_dir, &C::working_dir),
      setting("env", T::kStringMap, read_env, &C::env),
      setting("volumes", T::kStringList, read_volumes, &C::volumes),
      setting("tmpfs", T::kStringList, read_tmpfs, &C::tmpfs),
      setting("ports", T::kStringList, read_strings, &C::ports),
      setting("network_mode", T::kString, read_network_mode, &C::network_mode),
      setting("hostname", T::kString, read_optional_name, &C::hostname),
      setting("user", T::kString, read_optional_name, &C::user),
      setting("labels", T::kStringMap, read_string_map, &C::labels),
      not_yet<C>("cap_add", T::kStringList),
      not_yet<C>("cap_drop", T::kStringList),
      setting("readonly_rootfs", T::kBool, read_bool, &C::readonly_rootfs),
      setting("init", T::kBool, read_bool, &C::init),
      setting("tty", T::kBool, read_bool, &C::tty),
      setting("dns", T::kStringList, read_strings, &C::dns),
      setting("dns_servers", T::kStringList, read_strings, &C::dns),
      setting("dns_search", T::kStringList, read_strings, &C::dns_search),
      setting("dns_search_domains", T::kStringList, read_strings, &C::dns_search),
      setting("dns_options", T::kStringList, read_strings, &C::dns_options),
      not_yet<C>("rosetta", T::kBool),
      setting("force_pull", T::kBool, read_force_pull, &C::pull_policy),
      setting("pull_policy", T::kString, read_pull_policy, &C::pull_policy),
      setting("image_pull_timeout", T::kString, read_optional_duration, &C::image_pull_timeout),
      not_yet<C>("ssh_agent", T::kBool),
      not_yet<C>("virtualization", T::kBool),
      not_yet<C>("auth", T::kBlock, auth),
      not_yet<C>("auth_soft_fail", T::kBool),
      not_yet<C>("platform", T::kString),
      not_yet<C>("load", T::kString),
      not_yet<C>("mount", T::kBlockList, mount),
      not_yet<C>("ulimit", T::kStringMap),
      not_yet<C>("shm_size", T::kString),
      not_yet<C>("sysctl", T::kStringMap),
      not_yet<C>("pids_limit", T::kNumber),
      not_yet<C>("extra_hosts", T::kStringList),
      not_yet<C>("interactive", T::kBool),
      setting("stop_signal", T::kString, read_signal, &C::stop_signal),
      not_yet<C>("devices", T::kBlockList, device),
      not_yet<C>("security_opt", T::kStringList),
      not_yet<C>("privileged", T::kBool),
      not_yet<C>("mac_address", T::kString),
      not_yet<C>("publish_sockets", T::kStringList),
      not_yet<C>("kernel", T::kString),
      not_yet<C>("init_image", T::kString),
      not_yet<C>("healthchecks", T::kBlock, {{"disable", T::kBool, false, true, {}}}),
  };
  return table;
}

// Two spellings of one setting are one too many: which of them counts would be a guess.
void check_aliases(const Value& value, std::vector<Error>& errors) {
  const Value::Map* map = value.map();
  if (map == nullptr) return;
  const auto given = [&](const char* key) {
    auto it = map->find(key);
    return it != map->end() && asks_for_something(it->second);
  };
  constexpr std::pair<const char*, const char*> kAliases[] = {{"working_dir", "work_dir"},
                                                              {"dns", "dns_servers"},
                                                              {"dns_search", "dns_search_domains"},
                                                              {"pull_policy", "force_pull"}};
  for (const auto& [name, alias] : kAliases) {
    if (given(name) && given(alias)) {
      errors.push_back(invalid_setting(
          alias, std::string{"it says the same as "} + quoted(name) + ", which is given too",
          "keep one of them"));
    }
  }
}

}  // namespace

const Schema& task_schema() {
  static const Schema schema = task_table().schema();
  return schema;
}

Expected<TaskConfig> decode_task_config(const Value& value) {
  TaskConfig config;
  std::vector<Error> errors;
  if (value.is_nil()) errors.push_back(invalid_setting("image", "it is required"));
  check_aliases(value, errors);
  task_table().read(config, "", value, errors);
  if (!errors.empty()) return fail(combine("read the task's config", "", errors));
  return config;
}

}  // namespace ndc
