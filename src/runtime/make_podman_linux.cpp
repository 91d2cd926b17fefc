#include "runtime/make_podman.hpp"

#include <utility>

#include "runtime/mount_guard_linux.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/podman_runtime_linux.hpp"
#include "runtime/roles.hpp"

namespace ndc::runtime {

Expected<std::shared_ptr<ContainerRuntime>> make_podman(const PluginConfig& config,
                                                        std::shared_ptr<EventLoop> loop) {
  if (restricts(config.volumes)) {
    auto role = need_role("restrict volumes with", "podman", kGuardRole);
    if (!role) return fail(std::move(role.error()));
  }
  return std::make_shared<PodmanRuntime>(config, std::move(loop));
}

}  // namespace ndc::runtime
