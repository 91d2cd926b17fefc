#include "runtime/netns_linux.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>

#include <memory>
#include <thread>

#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

std::string address_here() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all{first, &::freeifaddrs};
  std::string v6;
  for (const ifaddrs* entry = all.get(); entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (entry->ifa_addr->sa_family == AF_INET) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      if (::inet_ntop(AF_INET, &address->sin_addr, text, sizeof text) != nullptr) return text;
    } else if (entry->ifa_addr->sa_family == AF_INET6 && v6.empty()) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) continue;
      if (::inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text) != nullptr) v6 = text;
    }
  }
  return v6;
}

}  // namespace

std::string namespace_address(const std::string& path) {
  const UniqueFd space{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!space) return {};
  std::string out;
  // A namespace belongs to a thread: this one ends with its visit.
  std::thread visitor{[&] {
    if (::setns(space.get(), CLONE_NEWNET) == 0) out = address_here();
  }};
  visitor.join();
  return out;
}

}  // namespace ndc::runtime
