// The HTTP side: answers GET /metrics at one address, on two threads of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <prometheus/collectable.h>

#include "model/error.hpp"

namespace prometheus {
class Exposer;
}

namespace ndc::metrics {

class Listener {
 public:
  // `address`: "127.0.0.1:9106", "[::1]:9106". kInvalidConfig, with what the system says, where it
  // cannot be listened on.
  static Expected<std::unique_ptr<Listener>> open(
      const std::string& address,
      const std::vector<std::shared_ptr<prometheus::Collectable>>& sources);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();  // waits for a request that is being answered

 private:
  explicit Listener(std::unique_ptr<prometheus::Exposer> exposer);
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace ndc::metrics
