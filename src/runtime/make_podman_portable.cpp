#include "runtime/make_podman.hpp"

namespace ndc::runtime {

Expected<std::shared_ptr<ContainerRuntime>> make_podman(const PluginConfig&,
                                                        std::shared_ptr<EventLoop>) {
  return fail({ErrorCode::kUnsupported, "use runtime", "podman",
               "this program was built without it: Podman runs containers on Linux only",
               "set runtime = \"apple\" or leave it out"});
}

}  // namespace ndc::runtime
