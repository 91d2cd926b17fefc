// The operator's `plugin "nomad-driver-container" { config { … } }`, checked and with defaults.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/settings.hpp"
#include "model/value.hpp"

namespace ndc {

enum class RuntimeKind { kAuto, kApple, kPodman };

struct PluginConfig {
  bool enabled = true;
  RuntimeKind runtime = RuntimeKind::kAuto;
  std::string podman_path;  // empty: look on PATH
  std::string oci_runtime;  // empty: Podman's own default
  std::string state_dir;    // empty: the platform's default

  struct Gc {
    bool container = true;  // remove exited containers
    bool operator==(const Gc&) const = default;
  } gc;

  struct Volumes {
    bool enabled = true;
    std::vector<std::string> allowed_paths;  // empty: any host path
    bool operator==(const Volumes&) const = default;
  } volumes;

  std::vector<std::string> extra_labels;  // globs over label names
  std::chrono::nanoseconds image_pull_timeout = std::chrono::minutes{5};
  std::chrono::nanoseconds pull_activity_interval = std::chrono::seconds{10};
  std::int64_t max_concurrent_pulls = 3;
  bool disable_log_collection = false;
  std::chrono::nanoseconds command_timeout = std::chrono::seconds{30};

  bool operator==(const PluginConfig&) const = default;
};

const Schema& plugin_schema();

// Defaults for whatever is nil or missing. Errors (kInvalidConfig, kUnsupported) name every wrong
// key with a valid example.
Expected<PluginConfig> decode_plugin_config(const Value& value);

}  // namespace ndc
