// The settings that put files into a container: volumes, tmpfs, mount blocks, devices, sockets.
#pragma once

#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "model/settings.hpp"
#include "model/task_config.hpp"
#include "model/value.hpp"

namespace ndc {

Expected<std::vector<Volume>> read_volumes(std::string_view key, const Value& value);
Expected<std::vector<Tmpfs>> read_tmpfs(std::string_view key, const Value& value);
Expected<std::vector<Volume>> read_publish_sockets(std::string_view key, const Value& value);

const Schema& device_schema();
Expected<std::vector<Device>> read_devices(std::string_view key, const Value& value);

// `mount` blocks end up beside what `volumes` and `tmpfs` say: they are another spelling of it.
const Schema& mount_schema();
struct MountBlocks {
  std::vector<Volume> volumes;
  std::vector<Tmpfs> tmpfs;
};
Expected<MountBlocks> read_mount_blocks(std::string_view key, const Value& value);

}  // namespace ndc
