// How the host and this process find each other: the environment that says who started us, the
// socket, and the line on stdout that names it.
#pragma once

#include <string>

#include "model/error.hpp"

namespace ndc::rpc {

// Whether a Nomad client started this process.
bool started_by_nomad();

// What the host asks for in the environment.
struct HandshakeRequest {
  std::string socket_dir;    // where the socket's own directory is made
  std::string socket_group;  // name or number; empty: the owner alone may connect
  bool multiplexing = false;

  // kUnsupported where the host asks for TLS, which this plugin does not serve.
  static Expected<HandshakeRequest> from_environment();
};

// Removes what is only for this process from the environment, before it has children or threads.
void clear_handshake_environment();

// A fresh directory that only its owner can enter, for one socket. Removed with it, or by the next
// plugin of the same user if its owner was killed: who lives has it locked.
class SocketPlace {
 public:
  static Expected<SocketPlace> make(const std::string& parent);
  SocketPlace(SocketPlace&& other) noexcept;
  SocketPlace& operator=(SocketPlace&&) = delete;
  SocketPlace(const SocketPlace&) = delete;
  SocketPlace& operator=(const SocketPlace&) = delete;
  ~SocketPlace() { remove(); }

  const std::string& directory() const { return directory_; }
  const std::string& socket() const { return socket_; }

  // Lets a group connect. After the socket was bound.
  Expected<void> share_with(const std::string& group) const;
  void remove();

 private:
  SocketPlace(std::string directory, int lock);
  std::string directory_;
  std::string socket_;
  int lock_;  // the directory, open and locked
};

// Newline included.
std::string handshake_line(const std::string& socket, const HandshakeRequest& request);

// Writes the line as the only thing that ever goes to stdout, which leads nowhere from then on.
Expected<void> announce(const std::string& line);

}  // namespace ndc::rpc
