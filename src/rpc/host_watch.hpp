// A plugin that a client only scans or validates must not outlive that client: nobody would ever
// find it again (clients before 2.0.1 leave it behind when its configuration is wrong). Once taken
// into use it stays, because tasks and a later client's re-attachment depend on it.
#pragma once

#include <atomic>
#include <memory>

#include "rpc/stopping.hpp"

namespace ndc::rpc {

class HostWatch {
 public:
  // Any thread, as often as it happens.
  void taken_into_use() { in_use_ = true; }
  bool in_use() const { return in_use_; }

 private:
  std::atomic<bool> in_use_{false};
};

// Asks the plugin to stop when its parent dies before it was taken into use. Costs one thread that
// sleeps until then, and a look a second.
void stop_when_abandoned(std::shared_ptr<const HostWatch> watch,
                         std::shared_ptr<Stopping> stopping);

}  // namespace ndc::rpc
