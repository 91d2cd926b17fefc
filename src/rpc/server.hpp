// The gRPC server over one unix socket, and the plugin's life around it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "actors/driver.hpp"
#include "model/error.hpp"
#include "rpc/handshake.hpp"

namespace ndc::rpc {

// All services, listening. `driver` outlives it.
class Server {
 public:
  // The socket is open to its owner alone.
  static Expected<std::unique_ptr<Server>> start(actors::Driver& driver,
                                                 const std::string& socket_path);
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  virtual ~Server() = default;

  // Until the host asks the plugin to go.
  virtual void wait_for_stop() = 0;
  // Cuts the connections off after `grace`. The driver's own calls should have been ended before.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

// The plugin from its handshake to its end; returns the exit status. Logs what goes wrong.
int serve(actors::Driver& driver, const HandshakeRequest& request);

}  // namespace ndc::rpc
