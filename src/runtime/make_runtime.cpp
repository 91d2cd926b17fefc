#include "runtime/make_runtime.hpp"

#include <utility>

#include "runtime/make_apple.hpp"
#include "runtime/make_podman.hpp"

namespace ndc::runtime {
namespace {

#ifdef __APPLE__
constexpr RuntimeKind kOfThisPlatform = RuntimeKind::kApple;
#else
constexpr RuntimeKind kOfThisPlatform = RuntimeKind::kPodman;
#endif

}  // namespace

Expected<std::shared_ptr<ContainerRuntime>> make_runtime(const PluginConfig& config,
                                                         std::shared_ptr<EventLoop> loop) {
  // Its callbacks hold it, and with it the loop that they run on: the last of them may outlive
  // whoever made both.
  loop = released_anywhere(std::move(loop));
  const RuntimeKind kind = config.runtime == RuntimeKind::kAuto ? kOfThisPlatform : config.runtime;
  if (kind == RuntimeKind::kPodman) return make_podman(config, std::move(loop));
  return make_apple(config, std::move(loop));
}

}  // namespace ndc::runtime
