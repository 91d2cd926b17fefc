#include "runtime/make_podman.hpp"
#include "runtime/podman_runtime_linux.hpp"

namespace ndc::runtime {

Expected<std::shared_ptr<ContainerRuntime>> make_podman(const PluginConfig& config,
                                                        std::shared_ptr<EventLoop> loop) {
  return std::make_shared<PodmanRuntime>(config, std::move(loop));
}

}  // namespace ndc::runtime
