#include "standin/ports.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "standin/sandbox.hpp"

namespace standin {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Address make_address(const std::string& host, unsigned port) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof *four;
  } else if (inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof *six;
  }
  return address;
}

// False where the path is too long for a socket.
bool set_path(const std::string& path, sockaddr_un* address) {
  if (path.size() >= sizeof address->sun_path) return false;
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, path.c_str(), path.size() + 1);
  return true;
}

// In place of what is there, as the imitated helper does.
Fd listen_at(const std::string& path) {
  sockaddr_un address{};
  Fd fd;
  if (!set_path(path, &address)) return fd;
  unlink(path.c_str());
  fd = Fd(socket(AF_UNIX, SOCK_STREAM, 0));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), 64) != 0) {
    fd.reset();
  }
  return fd;
}

// The workload's end: a port of this machine, or a socket where there is a path.
struct Target {
  unsigned port = 0;
  bool udp = false;
  std::string path;
};

// Between a host socket and the workload's end.
class Proxy {
 public:
  Proxy(std::vector<Fd> sockets, std::vector<Target> targets, Fd lifeline)
      : sockets_(std::move(sockets)),
        targets_(std::move(targets)),
        lifeline_(std::move(lifeline)) {}

  void run() {
    std::vector<pollfd> polled;
    while (true) {
      polled.clear();
      polled.push_back({lifeline_.get(), POLLIN, 0});
      for (const auto& fd : sockets_) polled.push_back({fd.get(), POLLIN, 0});
      for (const auto& link : links_) {
        polled.push_back({link.from_done ? -1 : link.from.get(), POLLIN, 0});
        polled.push_back({link.to_done ? -1 : link.to.get(), POLLIN, 0});
      }
      if (poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
      if (polled[0].revents != 0) return;
      const size_t first_link = 1 + sockets_.size();
      for (size_t i = 0; i < links_.size(); ++i) {
        auto& link = links_[i];
        if (polled[first_link + 2 * i].revents != 0) move(&link, true);
        if (polled[first_link + 2 * i + 1].revents != 0) move(&link, false);
      }
      std::erase_if(links_, [](const Link& link) { return link.closed; });
      for (size_t i = 0; i < sockets_.size(); ++i) {
        if (polled[1 + i].revents != 0) admit(i);
      }
    }
  }

 private:
  struct Link {
    Fd from;
    Fd to;
    bool from_done = false;
    bool to_done = false;
    bool closed = false;
    bool datagrams = false;
    int listener = -1;  // of datagrams: where answers leave
    Address peer;
  };

  static Fd reach(const Target& target) {
    if (!target.path.empty()) return reach_socket(target.path);
    const Address address = make_address("127.0.0.1", target.port);
    Fd fd(socket(AF_INET, target.udp ? SOCK_DGRAM : SOCK_STREAM, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
      fd.reset();
    }
    return fd;
  }

  // The path of a Unix socket may be short only: go there and use a name. Nothing else in this
  // process depends on where it is.
  static Fd reach_socket(const std::string& path) {
    const auto slash = path.rfind('/');
    sockaddr_un address{};
    Fd fd;
    if (!set_path(path.substr(slash + 1), &address)) return fd;
    if (chdir(path.substr(0, slash).c_str()) != 0) return fd;
    fd = Fd(socket(AF_UNIX, SOCK_STREAM, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      fd.reset();
    }
    return fd;
  }

  void admit(size_t index) {
    const Target& target = targets_[index];
    if (!target.udp) {
      Link link;
      link.from = Fd(accept(sockets_[index].get(), nullptr, nullptr));
      link.to = reach(target);
      if (link.from && link.to) links_.push_back(std::move(link));
      return;
    }
    std::array<char, 65536> data;
    Address peer;
    peer.size = sizeof peer.storage;
    const ssize_t got = recvfrom(sockets_[index].get(), data.data(), data.size(), 0,
                                 reinterpret_cast<sockaddr*>(&peer.storage), &peer.size);
    if (got < 0) return;
    Link* found = nullptr;
    for (auto& link : links_) {
      if (link.datagrams && link.listener == sockets_[index].get() && link.peer.size == peer.size &&
          std::memcmp(&link.peer.storage, &peer.storage, peer.size) == 0) {
        found = &link;
      }
    }
    if (found == nullptr) {
      Link link;
      link.datagrams = true;
      link.from_done = true;
      link.listener = sockets_[index].get();
      link.peer = peer;
      link.to = reach(target);
      if (!link.to) return;
      links_.push_back(std::move(link));
      found = &links_.back();
    }
    [[maybe_unused]] const ssize_t sent =
        send(found->to.get(), data.data(), static_cast<size_t>(got), 0);
  }

  void move(Link* link, bool forward) {
    std::array<char, 65536> data;
    const int in = forward ? link->from.get() : link->to.get();
    const ssize_t got = read(in, data.data(), data.size());
    if (got < 0 && errno == EINTR) return;
    if (link->datagrams) {
      if (got < 0) {
        link->closed = true;
      } else {
        sendto(link->listener, data.data(), static_cast<size_t>(got), 0,
               reinterpret_cast<sockaddr*>(&link->peer.storage), link->peer.size);
      }
      return;
    }
    const int out = forward ? link->to.get() : link->from.get();
    if (got <= 0) {
      shutdown(out, SHUT_WR);
      (forward ? link->from_done : link->to_done) = true;
      link->closed = link->from_done && link->to_done;
    } else if (!write_all(out, std::string(data.data(), static_cast<size_t>(got)))) {
      link->closed = true;
    }
  }

  std::vector<Fd> sockets_;
  std::vector<Target> targets_;
  Fd lifeline_;
  std::vector<Link> links_;
};

std::string bind_problem(const std::string& id, const PlannedPort& port, int error) {
  // macOS numbers, as the imitated CLI prints them.
  const int number = error == EADDRINUSE ? 48 : error == EADDRNOTAVAIL ? 49 : error;
  return "failed to bootstrap container (cause: \"internalError: \"failed to bootstrap container " +
         id + " (cause: \"unknown: \"bind(descriptor:ptr:bytes:): " + std::strerror(error) +
         ") (errno: " + std::to_string(number) + ") port " + std::to_string(port.host) +
         "\"\")\"\")";
}

}  // namespace

std::string publish(const Plan& plan, Fd* lifeline, std::vector<std::string>* made) {
  std::vector<Fd> sockets;
  std::vector<Target> targets;
  for (const auto& port : plan.ports) {
    const Address address = make_address(port.address, port.host);
    Fd fd(socket(address.storage.ss_family, port.udp ? SOCK_DGRAM : SOCK_STREAM, 0));
    const int on = 1;
    if (!port.udp) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
        (!port.udp && listen(fd.get(), 64) != 0)) {
      return bind_problem(plan.id, port, errno);
    }
    // The workload shares this machine's network: under one number it is reached without a proxy.
    if (port.host == port.container && !plan.own_network) continue;
    fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
    sockets.push_back(std::move(fd));
    targets.push_back({port.container, port.udp, {}});
  }
  for (const auto& socket : plan.sockets) {
    Fd fd = listen_at(socket.host);
    if (!fd) {
      return "failed to bootstrap container (cause: \"unknown: \"cannot listen at " + socket.host +
             "\"\")";
    }
    fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
    made->push_back(socket.host);
    sockets.push_back(std::move(fd));
    targets.push_back({0, false, socket.target});
  }
  // What is bound stays where it is; the proxy, as the workload, is on the other side.
  if (std::string problem = sandbox_enter_network(plan); !problem.empty()) return problem;
  if (targets.empty()) return {};
  Pipe pipe = make_pipe();
  const pid_t pid = fork();
  if (pid < 0) return "cannot fork";
  if (pid == 0) {
    for (int fd = 3; fd < 1024; ++fd) {
      bool mine = fd == pipe.read.get();
      for (const auto& socket : sockets) mine = mine || socket.get() == fd;
      if (!mine) close(fd);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    Proxy(std::move(sockets), std::move(targets), std::move(pipe.read)).run();
    _exit(0);
  }
  *lifeline = std::move(pipe.write);
  return {};
}

}  // namespace standin
