// The operator's `plugin "nomad-driver-container" { config { … } }`, checked and with defaults.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/registry_auth.hpp"
#include "model/settings.hpp"
#include "model/value.hpp"

namespace ndc {

enum class RuntimeKind { kAuto, kApple, kPodman };

struct PluginConfig {
  bool enabled = true;
  RuntimeKind runtime = RuntimeKind::kAuto;
  std::string container_path;  // of Apple's CLI; empty: the usual places, then PATH
  std::string podman_path;     // empty: look on PATH
  std::string oci_runtime;     // empty: Podman's own default
  std::string state_dir;       // empty: the platform's default

  // Containers of this node that no task owns.
  struct DanglingContainers {
    bool enabled = true;
    bool dry_run = false;  // only log what would be removed
    std::chrono::nanoseconds period = std::chrono::minutes{5};
    std::chrono::nanoseconds creation_grace = std::chrono::minutes{5};
    bool operator==(const DanglingContainers&) const = default;
  };

  struct Gc {
    bool container = true;  // remove exited containers
    bool image = false;     // remove images that no task uses any more
    std::chrono::nanoseconds image_delay = std::chrono::minutes{3};
    DanglingContainers dangling_containers;
    bool operator==(const Gc&) const = default;
  } gc;

  struct Volumes {
    bool enabled = true;
    std::vector<std::string> allowed_paths;  // empty: any host path
    bool operator==(const Volumes&) const = default;
  } volumes;

  std::vector<std::string> extra_labels;  // globs over label names
  std::chrono::nanoseconds image_pull_timeout = std::chrono::minutes{5};
  std::chrono::nanoseconds image_pull_stall_timeout = std::chrono::minutes{2};
  std::chrono::nanoseconds pull_activity_interval = std::chrono::seconds{10};
  std::int64_t max_concurrent_pulls = 3;
  bool disable_log_collection = false;
  std::optional<RegistryAuth> auth;  // for images whose task names none
  bool auth_soft_fail = false;       // on a failed login, try without credentials

  // What tasks may ask for; operator_policy.hpp applies it.
  std::optional<std::set<std::string>> allow_caps;  // "CAP_…" or "ALL"; none: the default set
  bool allow_privileged = false;
  bool allow_ssh_agent = true;
  bool allow_virtualization = true;
  std::vector<std::string> allowed_images;  // globs over full references; empty: any

  std::chrono::nanoseconds command_timeout = std::chrono::seconds{30};
  std::string metrics_address;  // "127.0.0.1:9106", "[::1]:9106"; empty: no metrics

  // How long a task waits for the one whose network it joins: those of a group are started
  // together, and that one's image may have to be pulled first.
  std::chrono::nanoseconds peer_patience() const { return image_pull_timeout + command_timeout; }

  bool operator==(const PluginConfig&) const = default;
};

const Schema& plugin_schema();

// Defaults for whatever is nil or missing. Errors (kInvalidConfig, kUnsupported) name every wrong
// key with a valid example.
Expected<PluginConfig> decode_plugin_config(const Value& value);

}  // namespace ndc
