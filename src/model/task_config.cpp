#include "model/task_config.hpp"

#include <utility>

#include "model/auth_setting.hpp"
#include "model/network_settings.hpp"
#include "model/settings_reader.hpp"
#include "model/storage_settings.hpp"
#include "model/task_setting_readers.hpp"

namespace ndc {
namespace {

using T = SettingType;

struct HealthChecks {
  bool disable = false;
};

const SettingsTable<HealthChecks>& healthchecks_table() {
  static const SettingsTable<HealthChecks> table{
      setting("disable", T::kBool, read_bool, &HealthChecks::disable)};
  return table;
}

Expected<bool> read_healthchecks(std::string_view key, const Value& value) {
  HealthChecks checks;
  std::vector<Error> errors;
  healthchecks_table().read(checks, std::string{key} + ".", value, errors);
  return unless(errors, checks.disable);
}

// A second spelling of a setting: spelled out but empty, it leaves alone what the first one said.
SettingsTable<TaskConfig>::Row alias(SettingsTable<TaskConfig>::Row row) {
  row.apply = [apply = std::move(row.apply)](TaskConfig& config, const std::string& name,
                                             const Value& value, std::vector<Error>& errors) {
    if (asks_for_something(value)) apply(config, name, value, errors);
  };
  return row;
}

// `mount` and `mounts`, as Nomad's docker driver has both.
SettingsTable<TaskConfig>::Row mount_row(std::string key) {
  return {Setting{std::move(key), T::kBlockList, false, mount_schema()},
          [](TaskConfig& config, const std::string& name, const Value& value,
             std::vector<Error>& errors) {
            auto blocks = read_mount_blocks(name, value);
            if (!blocks) {
              errors.push_back(std::move(blocks.error()));
              return;
            }
            for (Volume& volume : blocks->volumes) config.volumes.push_back(std::move(volume));
            for (Tmpfs& tmpfs : blocks->tmpfs) config.tmpfs.push_back(std::move(tmpfs));
          }};
}

const SettingsTable<TaskConfig>& task_table() {
  using C = TaskConfig;
  static const SettingsTable<C> table{
      required(setting("image", T::kString, read_image, &C::image)),
      setting("command", T::kString, read_command, &C::command),
      setting("args", T::kStringList, read_arguments, &C::args),
      setting("entrypoint", T::kWords, read_entrypoint, &C::entrypoint),
      setting("working_dir", T::kString, read_container_path, &C::working_dir),
      alias(setting("work_dir", T::kString, read_container_path, &C::working_dir)),
      setting("env", T::kStringMap, read_env, &C::env),
      setting("user", T::kString, read_optional_name, &C::user),
      setting("hostname", T::kString, read_hostname, &C::hostname),
      setting("labels", T::kStringMap, read_labels, &C::labels),
      setting("init", T::kBool, read_bool, &C::init),
      setting("tty", T::kBool, read_bool, &C::tty),
      setting("interactive", T::kBool, read_bool, &C::interactive),
      setting("stop_signal", T::kString, read_signal, &C::stop_signal),
      setting("healthchecks", T::kBlock, read_healthchecks, &C::healthchecks_disabled,
              healthchecks_table().schema()),
      // images
      setting("pull_policy", T::kString, read_pull_policy, &C::pull_policy),
      alias(setting("force_pull", T::kBool, read_force_pull, &C::pull_policy)),
      setting("image_pull_timeout", T::kString, read_optional_duration, &C::image_pull_timeout),
      setting("platform", T::kString, read_platform, &C::platform),
      setting("load", T::kString, read_archive_path, &C::load),
      setting("auth", T::kBlock, read_auth, &C::auth, auth_schema()),
      setting("auth_soft_fail", T::kBool, read_optional_bool, &C::auth_soft_fail),
      // storage; `volumes` and `tmpfs` before the blocks that add to them
      setting("volumes", T::kStringList, read_volumes, &C::volumes),
      setting("tmpfs", T::kStringList, read_tmpfs, &C::tmpfs),
      mount_row("mount"),
      mount_row("mounts"),
      setting("readonly_rootfs", T::kBool, read_bool, &C::readonly_rootfs),
      setting("devices", T::kBlockList, read_devices, &C::devices, device_schema()),
      setting("shm_size", T::kString, read_shm_size, &C::shm_size),
      // network
      setting("ports", T::kStringList, read_strings, &C::ports),
      setting("network_mode", T::kString, read_network_mode, &C::network_mode),
      setting("dns", T::kStringList, read_name_servers, &C::dns),
      alias(setting("dns_servers", T::kStringList, read_name_servers, &C::dns)),
      setting("dns_search", T::kStringList, read_resolver_words, &C::dns_search),
      alias(setting("dns_search_domains", T::kStringList, read_resolver_words, &C::dns_search)),
      setting("dns_options", T::kStringList, read_resolver_words, &C::dns_options),
      setting("extra_hosts", T::kStringList, read_extra_hosts, &C::extra_hosts),
      setting("mac_address", T::kString, read_mac_address, &C::mac_address),
      setting("publish_sockets", T::kStringList, read_publish_sockets, &C::publish_sockets),
      // security and limits
      setting("cap_add", T::kStringList, read_caps, &C::cap_add),
      setting("cap_drop", T::kStringList, read_caps, &C::cap_drop),
      setting("privileged", T::kBool, read_bool, &C::privileged),
      setting("security_opt", T::kStringList, read_security_opt, &C::security_opt),
      setting("ulimit", T::kStringMap, read_ulimit, &C::ulimit),
      setting("sysctl", T::kStringMap, read_sysctl, &C::sysctl),
      setting("pids_limit", T::kNumber, read_pids_limit, &C::pids_limit),
      setting("ssh_agent", T::kBool, read_bool, &C::ssh_agent),
      // virtual machines
      setting("rosetta", T::kBool, read_bool, &C::rosetta),
      setting("virtualization", T::kBool, read_bool, &C::virtualization),
      setting("kernel", T::kString, read_host_path, &C::kernel),
      setting("init_image", T::kString, read_optional_name, &C::init_image),
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

TaskConfig read_task_config(const Value& value, std::vector<Error>& errors) {
  TaskConfig config;
  if (value.is_nil()) errors.push_back(invalid_setting("image", "it is required"));
  check_aliases(value, errors);
  task_table().read(config, "", value, errors);
  // Rosetta is for nothing else, and the image has to be pulled for it.
  if (config.rosetta && !config.platform) config.platform = "linux/amd64";
  return config;
}

Expected<TaskConfig> decode_task_config(const Value& value) {
  std::vector<Error> errors;
  TaskConfig config = read_task_config(value, errors);
  if (!errors.empty()) return fail(combine("read the task's config", "", errors));
  return config;
}

}  // namespace ndc
