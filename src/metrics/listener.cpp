#include "metrics/listener.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include <prometheus/exposer.h>

namespace ndc::metrics {
namespace {

// One thread for the scraper, one so that somebody who connects and says nothing does not keep it
// out.
constexpr const char* kThreads = "2";
constexpr const char* kRequestTimeout = "5000";  // ms

Error cannot_listen(const std::string& address, std::string cause) {
  return {.code = ErrorCode::kInvalidConfig,
          .what = "listen for metrics",
          .on = address,
          .cause = std::move(cause),
          .hint =
              "set metrics_address to a free port of this node, for example "
              "\"127.0.0.1:9106\""};
}

// Why the address cannot be bound; the HTTP server would say only that it could not start.
std::optional<std::string> bind_problem(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return std::string{::gai_strerror(error)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list{found, &::freeaddrinfo};
  const int fd = ::socket(found->ai_family, found->ai_socktype, found->ai_protocol);
  if (fd < 0) return std::string{std::strerror(errno)};
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int bound = ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  ::close(fd);
  if (bound == 0) return std::nullopt;
  return std::string{std::strerror(bound)};
}

}  // namespace

Listener::Listener(std::unique_ptr<prometheus::Exposer> exposer) : exposer_{std::move(exposer)} {}
Listener::~Listener() = default;

Expected<std::unique_ptr<Listener>> Listener::open(
    const std::string& address,
    const std::vector<std::shared_ptr<prometheus::Collectable>>& sources) {
  if (auto problem = bind_problem(address)) return fail(cannot_listen(address, *problem));
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", address, "num_threads", kThreads,
                                 "request_timeout_ms", kRequestTimeout});
    for (const auto& source : sources) exposer->RegisterCollectable(source);
    return std::unique_ptr<Listener>{new Listener{std::move(exposer)}};
  } catch (const std::exception& e) {  // the library's only way to say so
    return fail(cannot_listen(address, e.what()));
  }
}

}  // namespace ndc::metrics
