// The monitor's socket: the plugin, or several of them across its restarts. What is said on it is
// in monitor_lines.hpp. Part of the monitor: plain calls, no allocation.
#pragma once

#include <poll.h>

#include <cstddef>

#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// A socket at `path`, whose old name is removed: the caller holds the lock, so nobody listens
// there. -1 (errno) if it cannot be.
int listen_on(const char* path);

class MonitorClients {
 public:
  static constexpr int kMax = 8;

  // What a client asks for: one line, without its end. Anything may come.
  class Orders {
   public:
    virtual void obey(const char* line) = 0;

   protected:
    ~Orders() = default;
  };

  explicit MonitorClients(int listener) : listener_{listener} {}

  // What to poll: the listener, then a slot for each client (-1 where there is none).
  static constexpr int kPolled = 1 + kMax;
  void fill(pollfd* fds) const;
  // Reads what came; true if a client waits to be accepted.
  bool serve(const pollfd* fds, Orders& orders);
  // The new client hears `greeting`.
  void accept(const char* greeting);

  void say_all(const char* text);

 private:
  struct Client {
    UniqueFd fd;
    char line[64] = {};
    std::size_t used = 0;
  };
  static void read(Client& client, Orders& orders);
  static void say(Client& client, const char* text);

  UniqueFd listener_;
  Client clients_[kMax];
};

}  // namespace ndc::runtime
