#include "actors/fault_seam.hpp"

#include <cxxabi.h>

#include <cstdlib>
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

std::string message_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text{
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free};
  std::string name = status == 0 ? text.get() : type.name();
  const auto colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
}

}  // namespace ndc::act
