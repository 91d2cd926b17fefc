// Converters for the values of a task's settings, one per kind of value: text into the structs of
// task_config.hpp. Each error names the key and shows a valid value.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "model/task_config.hpp"
#include "model/value.hpp"

namespace ndc {

Expected<std::string> read_image(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_optional_string(std::string_view key, const Value& value);
// Settings where the empty string means the same as leaving it out.
Expected<std::optional<std::string>> read_command(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_optional_name(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_container_path(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_host_path(std::string_view key, const Value& value);
Expected<std::vector<std::string>> read_arguments(std::string_view key, const Value& value);
Expected<std::optional<std::vector<std::string>>> read_entrypoint(std::string_view key,
                                                                  const Value& value);
Expected<std::map<std::string, std::string>> read_env(std::string_view key, const Value& value);
Expected<std::map<std::string, std::string>> read_labels(std::string_view key, const Value& value);
Expected<PullPolicy> read_pull_policy(std::string_view key, const Value& value);
// force_pull = true is pull_policy = "always".
Expected<PullPolicy> read_force_pull(std::string_view key, const Value& value);
Expected<std::optional<std::chrono::nanoseconds>> read_optional_duration(std::string_view key,
                                                                         const Value& value);
Expected<std::optional<bool>> read_optional_bool(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_signal(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_platform(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_archive_path(std::string_view key, const Value& value);
Expected<std::vector<std::string>> read_caps(std::string_view key, const Value& value);
Expected<std::vector<std::string>> read_security_opt(std::string_view key, const Value& value);
Expected<std::map<std::string, Ulimit>> read_ulimit(std::string_view key, const Value& value);
Expected<std::map<std::string, std::string>> read_sysctl(std::string_view key, const Value& value);
Expected<std::optional<std::int64_t>> read_pids_limit(std::string_view key, const Value& value);
Expected<std::optional<std::int64_t>> read_shm_size(std::string_view key, const Value& value);

bool has_control_character(std::string_view text);

}  // namespace ndc
