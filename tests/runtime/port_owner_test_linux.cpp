#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/netns_linux.hpp"
#include "runtime/port_owner_linux.hpp"
#include "runtime/unique_fd.hpp"
#include "support/catch.hpp"

using namespace ndc::runtime;

TEST_CASE("podman's words tell which port was taken") {
  const auto tcp = parse_taken_port(
      "cannot listen on the TCP port: listen tcp4 127.0.0.1:8080: bind: address already in use");
  CHECK(tcp == TakenPort{Transport::kTcp, 8080});
  const auto udp = parse_taken_port(
      "cannot listen on the UDP port: listen udp6 [::1]:53: bind: address already in use");
  CHECK(udp == TakenPort{Transport::kUdp, 53});
  for (const char* text : {"", "address already in use", "bind: address already in use",
                           "listen tcp4 127.0.0.1:: bind: address already in use",
                           "listen tcp4 127.0.0.1:99999: bind: address already in use",
                           "listen tcp4 127.0.0.1:80: bind: permission denied"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_taken_port(text));
  }
}

TEST_CASE("sockets of a port are found in the kernel's tables, of TCP those that listen") {
  constexpr const char* kTable =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n"
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "111 1 0\n"
      "   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 "
      "222 1 0\n"
      "   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "333 1 0\n";
  CHECK(parse_port_sockets(kTable, {Transport::kTcp, 8080}) == std::set<std::string>{"111"});
  CHECK(parse_port_sockets(kTable, {Transport::kUdp, 8080}) == std::set<std::string>{"111", "222"});
  CHECK(parse_port_sockets(kTable, {Transport::kTcp, 81}).empty());
  CHECK(parse_port_sockets("rubbish\n: : : : : : : : : :\n", {Transport::kTcp, 0}).empty());
}

TEST_CASE("the process that listens on a port is named") {
  const UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(socket.get(), 1) == 0);
  REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const std::string owner = port_owner({Transport::kTcp, ntohs(address.sin_port)});
  CHECK(owner.starts_with("process " + std::to_string(::getpid()) + " (\""));
  CHECK(port_owner({Transport::kTcp, 1}).empty());
}

TEST_CASE("conmon is named as its container, and nobody by what is no container's name") {
  CHECK(port_holder(7, "conmon\n", {"conmon", "-n", "nomad-web-1"}) == "container \"nomad-web-1\"");
  CHECK(port_holder(7, "nginx\n", {"nginx", "-n", "a"}) == "process 7 (\"nginx\")");
  for (const std::string& name : {std::string{"a b"}, std::string{}, std::string(5000, 'a')}) {
    CHECK(port_holder(7, "conmon", {"conmon", "-n", name}) == "process 7 (\"conmon\")");
  }
  CHECK(parse_socket("socket:[4711]") == "4711");
  for (const char* other : {"", "pipe:[4711]", "socket:[", "socket:[4711"}) {
    CHECK(parse_socket(other).empty());
  }
}

TEST_CASE("a namespace that is not there has no address") {
  CHECK(namespace_address("/no/such/namespace").empty());
  CHECK(namespace_address("/dev/null").empty());
}
