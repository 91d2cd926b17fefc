// Who on this host holds a port that a task wanted.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ndc::runtime {

enum class Transport { kTcp, kUdp };

// A port that could not be had, as podman tells it: "listen tcp4 127.0.0.1:8080: bind: address
// already in use".
struct TakenPort {
  Transport transport = Transport::kTcp;
  std::uint16_t port = 0;
  bool operator==(const TakenPort&) const = default;
};
std::optional<TakenPort> parse_taken_port(std::string_view reason);

// The sockets (inodes) that hold a local port, in the form of /proc/net/tcp and its siblings. Of
// TCP only those that listen.
std::set<std::string> parse_port_sockets(std::string_view table, const TakenPort& port);

// The inode in "socket:[4711]", as a descriptor is shown in /proc; empty for what is no socket.
std::string_view parse_socket(std::string_view link);

// What a process is called that holds a port, by its /proc/<pid>/comm and command line.
std::string port_holder(pid_t pid, std::string_view comm,
                        const std::vector<std::string>& arguments);

// 'container "nomad-web-0a1b2c3d"' or 'process 4711 ("nginx")'; empty where it cannot be known.
std::string port_owner(const TakenPort& port);

}  // namespace ndc::runtime
