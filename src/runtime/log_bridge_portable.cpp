// Without splice(2) and /proc there is no direct route that would need a bridge: engines of these
// platforms have their output pumped.
#include "runtime/log_bridge.hpp"

namespace ndc::runtime {

std::shared_ptr<AppearanceWatch> make_appearance_watch(EventLoop&) { return nullptr; }

std::shared_ptr<LogBridge> make_log_bridge(EventLoop&, AppearanceWatch&, std::string, UniqueFd) {
  return nullptr;
}

void save_pipes(std::array<int, 2>, ContainerRef&) {}

UniqueFd workload_pipe(const ContainerRef&, std::size_t, int) { return UniqueFd{}; }

}  // namespace ndc::runtime
