#include "actors/fault_seam.hpp"

#include <map>
#include <mutex>
#include <utility>

namespace ndc::act {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<const caf::actor_system*, std::shared_ptr<actors::MessageFaults>> faults;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

void inject_faults(const caf::actor_system& system, std::shared_ptr<actors::MessageFaults> faults) {
  auto& [mutex, all] = registry();
  const std::lock_guard lock{mutex};
  if (faults) {
    all[&system] = std::move(faults);
  } else {
    all.erase(&system);
  }
  detail::systems_with_faults = static_cast<int>(all.size());
}

std::shared_ptr<actors::MessageFaults> detail::find_faults(const caf::actor_system& system) {
  auto& [mutex, all] = registry();
  const std::lock_guard lock{mutex};
  const auto found = all.find(&system);
  return found == all.end() ? nullptr : found->second;
}

}  // namespace ndc::act
