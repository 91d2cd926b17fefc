// Without splice(2) and /proc there is no direct route that would need a bridge: engines of these
// platforms have their output pumped.
#include "runtime/log_bridge.hpp"

namespace ndc::runtime {

std::shared_ptr<AppearanceWatch> make_appearance_watch(EventLoop&) { return nullptr; }

std::shared_ptr<LogBridge> make_log_bridge(EventLoop&, AppearanceWatch&, std::string, UniqueFd) {
  return nullptr;
}

std::array<UniqueFd, 2> workload_pipes(const ContainerRef&) { return {}; }

UniqueFd reopen_pipe(int) { return UniqueFd{}; }

}  // namespace ndc::runtime
