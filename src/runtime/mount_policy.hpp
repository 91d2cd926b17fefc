// Which host paths a task may mount, and where they really are. Reads the file system, changes
// nothing.
#pragma once

#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "model/task_config.hpp"
#include "model/task_spec.hpp"
#include "runtime/podman_argv.hpp"

namespace ndc::runtime {

// Nomad's own directories, then the mounts Nomad asked for, then the job's volumes. Every error
// (kInvalidConfig) names the volume. Sources of volumes come back as real paths: what was checked
// is what is mounted.
Expected<std::vector<ContainerMount>> resolve_mounts(const TaskSpec& spec, const TaskConfig& config,
                                                     const PluginConfig::Volumes& policy);

// `path` is `directory` or below it. Both real and absolute.
bool is_below(const std::string& path, const std::string& directory);

}  // namespace ndc::runtime
