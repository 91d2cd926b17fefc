// Where MessageFaults meet the actor system: act::tell asks here before it sends. Without faults,
// which is always so in the plugin, that is one atomic load.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "actors/message_faults.hpp"

namespace caf {
class actor_system;
}

namespace ndc::act {

// By what a fault finds an actor. Every actor of ours is one.
struct Addressed {
  const char* actor = "";
  std::string task;  // empty: it serves all tasks
  virtual ~Addressed() = default;
};

// Null takes the system's faults away, which must happen before the system goes.
void inject_faults(const caf::actor_system& system, std::shared_ptr<actors::MessageFaults> faults);

namespace detail {
inline std::atomic<int> systems_with_faults{0};
std::shared_ptr<actors::MessageFaults> find_faults(const caf::actor_system& system);
}  // namespace detail

inline std::shared_ptr<actors::MessageFaults> faults_of(const caf::actor_system& system) {
  if (detail::systems_with_faults.load(std::memory_order_relaxed) == 0) return nullptr;
  return detail::find_faults(system);
}

// Makes the actor that gets it fail.
struct Crash {};

}  // namespace ndc::act
