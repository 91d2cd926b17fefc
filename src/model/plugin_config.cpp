#include "model/plugin_config.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "model/auth_setting.hpp"
#include "model/labels.hpp"
#include "model/linux_caps.hpp"
#include "model/settings_reader.hpp"
#include "model/task_setting_readers.hpp"

namespace ndc {
namespace {

using T = SettingType;

Expected<RuntimeKind> read_runtime(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  if (*text == "auto") return RuntimeKind::kAuto;
  if (*text == "apple") return RuntimeKind::kApple;
  if (*text == "podman") return RuntimeKind::kPodman;
  return fail(invalid_setting(key, "unknown runtime " + quoted(*text),
                              "write \"auto\", \"podman\" or \"apple\""));
}

Expected<std::string> read_absolute_path(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text || text->empty() || text->front() == '/') return text;
  return fail(invalid_setting(key, "expected an absolute path, found " + quoted(*text),
                              "write for example \"/var/lib/nomad-driver-container\""));
}

Expected<std::string> read_program(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text || text->empty()) return text;
  if (text->front() != '-' && text->find(' ') == std::string::npos &&
      !has_control_character(*text)) {
    return text;
  }
  return fail(invalid_setting(key, quoted(*text) + " is no name or path of a program",
                              "write for example \"crun\" or \"/usr/bin/kata-runtime\""));
}

Expected<std::vector<std::string>> read_absolute_paths(std::string_view key, const Value& value) {
  auto paths = read_strings(key, value);
  if (!paths) return paths;
  std::vector<Error> errors;
  for (const std::string& path : *paths) {
    if (!path.empty() && path.front() == '/') continue;
    errors.push_back(invalid_setting(key, "expected absolute paths, found " + quoted(path),
                                     "write for example [\"/srv\"]"));
  }
  return unless(errors, std::move(*paths));
}

Expected<std::vector<std::string>> read_label_globs(std::string_view key, const Value& value) {
  auto globs = read_strings(key, value);
  if (!globs) return globs;
  std::vector<Error> errors;
  for (const std::string& glob : *globs) {
    const auto& names = extra_label_names();
    if (std::none_of(names.begin(), names.end(),
                     [&](const std::string& name) { return glob_match(glob, name); })) {
      std::string list;
      for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
      errors.push_back(
          invalid_setting(key, quoted(glob) + " matches no label",
                          "the names are " + list + "; write for example [\"job_*\"]"));
    }
  }
  return unless(errors, std::move(*globs));
}

Expected<std::int64_t> read_positive(std::string_view key, const Value& value) {
  auto number = read_integer(key, value);
  if (!number || *number > 0) return number;
  return fail(invalid_setting(key, "expected a number above zero", "write for example 3"));
}

Expected<std::optional<std::set<std::string>>> read_allowed_caps(std::string_view key,
                                                                 const Value& value) {
  auto texts = read_strings(key, value);
  if (!texts) return fail(std::move(texts.error()));
  std::set<std::string> caps;
  std::vector<Error> errors;
  for (const std::string& text : *texts) {
    auto cap = capability_name(text);
    if (!cap) errors.push_back(invalid_setting(key, cap.error().message()));
    if (cap) caps.insert(std::move(*cap));
  }
  return unless(errors, std::optional{std::move(caps)});
}

Expected<std::vector<std::string>> read_image_globs(std::string_view key, const Value& value) {
  auto globs = read_strings(key, value);
  if (!globs) return globs;
  std::vector<Error> errors;
  for (const std::string& glob : *globs) {
    if (!glob.empty() && glob.find(' ') == std::string::npos) continue;
    errors.push_back(invalid_setting(key, quoted(glob) + " matches no image",
                                     "write for example [\"docker.io/library/*\"]"));
  }
  return unless(errors, std::move(*globs));
}

// "9106" and ":9106" are on the loopback: that others may look has to be said.
Expected<std::string> read_listen_address(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text || text->empty()) return text;
  const auto refuse = [&] {
    return fail(invalid_setting(key, "expected an IP address and a port, found " + quoted(*text),
                                "write for example \"127.0.0.1:9106\""));
  };
  const std::size_t colon = text->rfind(':');
  const bool has_colon = colon != std::string::npos;
  std::string host = has_colon ? text->substr(0, colon) : "";
  const std::string port = has_colon ? text->substr(colon + 1) : *text;
  std::uint16_t number = 0;
  const char* end = port.data() + port.size();
  const auto parsed = std::from_chars(port.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end || number == 0) return refuse();

  if (host.empty() || host == "localhost") host = "127.0.0.1";
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const std::string address = bracketed ? host.substr(1, host.size() - 2) : host;
  in6_addr binary{};
  if (::inet_pton(bracketed ? AF_INET6 : AF_INET, address.c_str(), &binary) != 1) return refuse();
  return host + ":" + std::to_string(number);
}

const SettingsTable<PluginConfig::DanglingContainers>& dangling_table() {
  using C = PluginConfig::DanglingContainers;
  static const SettingsTable<C> table{
      setting("enabled", T::kBool, read_bool, &C::enabled),
      setting("dry_run", T::kBool, read_bool, &C::dry_run),
      setting("period", T::kString, read_duration, &C::period),
      setting("creation_grace", T::kString, read_duration, &C::creation_grace),
  };
  return table;
}

const SettingsTable<PluginConfig::Gc>& gc_table() {
  using C = PluginConfig::Gc;
  static const SettingsTable<C> table{
      setting("container", T::kBool, read_bool, &C::container),
      setting("image", T::kBool, read_bool, &C::image),
      setting("image_delay", T::kString, read_duration, &C::image_delay),
      block("dangling_containers", dangling_table(), &C::dangling_containers),
  };
  return table;
}

const SettingsTable<PluginConfig::Volumes>& volumes_table() {
  using C = PluginConfig::Volumes;
  static const SettingsTable<C> table{
      setting("enabled", T::kBool, read_bool, &C::enabled),
      setting("allowed_paths", T::kStringList, read_absolute_paths, &C::allowed_paths),
  };
  return table;
}

const SettingsTable<PluginConfig>& plugin_table() {
  using C = PluginConfig;
  static const SettingsTable<C> table{
      setting("enabled", T::kBool, read_bool, &C::enabled),
      setting("runtime", T::kString, read_runtime, &C::runtime),
      setting("container_path", T::kString, read_absolute_path, &C::container_path),
      setting("podman_path", T::kString, read_absolute_path, &C::podman_path),
      setting("oci_runtime", T::kString, read_program, &C::oci_runtime),
      setting("state_dir", T::kString, read_absolute_path, &C::state_dir),
      block("gc", gc_table(), &C::gc),
      block("volumes", volumes_table(), &C::volumes),
      setting("extra_labels", T::kStringList, read_label_globs, &C::extra_labels),
      setting("image_pull_timeout", T::kString, read_duration, &C::image_pull_timeout),
      setting("image_pull_stall_timeout", T::kString, read_duration, &C::image_pull_stall_timeout),
      setting("max_concurrent_pulls", T::kNumber, read_positive, &C::max_concurrent_pulls),
      setting("pull_activity_interval", T::kString, read_duration, &C::pull_activity_interval),
      setting("disable_log_collection", T::kBool, read_bool, &C::disable_log_collection),
      setting("auth", T::kBlock, read_auth, &C::auth, auth_schema()),
      setting("auth_soft_fail", T::kBool, read_bool, &C::auth_soft_fail),
      setting("allow_caps", T::kStringList, read_allowed_caps, &C::allow_caps),
      setting("allow_privileged", T::kBool, read_bool, &C::allow_privileged),
      setting("allow_ssh_agent", T::kBool, read_bool, &C::allow_ssh_agent),
      setting("allow_virtualization", T::kBool, read_bool, &C::allow_virtualization),
      setting("allowed_images", T::kStringList, read_image_globs, &C::allowed_images),
      setting("command_timeout", T::kString, read_duration, &C::command_timeout),
      setting("metrics_address", T::kString, read_listen_address, &C::metrics_address),
  };
  return table;
}

}  // namespace

const Schema& plugin_schema() {
  static const Schema schema = plugin_table().schema();
  return schema;
}

Expected<PluginConfig> decode_plugin_config(const Value& value) {
  PluginConfig config;
  std::vector<Error> errors;
  plugin_table().read(config, "", value, errors);
  if (!errors.empty()) return fail(combine("read the plugin's config", "", errors));
  return config;
}

}  // namespace ndc
