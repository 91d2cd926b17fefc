#include "runtime/monitor_clients.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ndc::runtime {

int listen_on(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (::strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  ::strcpy(address.sun_path, path);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  ::unlink(path);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::listen(fd, MonitorClients::kMax) == 0) {
    return fd;
  }
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

void MonitorClients::fill(pollfd* fds) const {
  fds[0] = {listener_.get(), POLLIN, 0};
  for (int i = 0; i < kMax; ++i) fds[1 + i] = {clients_[i].fd.get(), POLLIN, 0};
}

bool MonitorClients::serve(const pollfd* fds, Orders& orders) {
  for (int i = 0; i < kMax; ++i) {
    if (fds[1 + i].fd >= 0 && fds[1 + i].revents != 0) read(clients_[i], orders);
  }
  return fds[0].revents != 0;
}

void MonitorClients::accept(const char* greeting) {
  UniqueFd fd{::accept(listener_.get(), nullptr, nullptr)};
  if (!fd) return;
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  for (Client& client : clients_) {
    if (client.fd) continue;
    client.fd = std::move(fd);
    client.used = 0;
    return say(client, greeting);
  }
}

void MonitorClients::read(Client& client, Orders& orders) {
  const ssize_t size =
      ::read(client.fd.get(), client.line + client.used, sizeof client.line - 1 - client.used);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size > 0) client.used += static_cast<std::size_t>(size);
  client.line[client.used] = '\0';
  while (char* end = ::strchr(client.line, '\n')) {
    *end = '\0';
    orders.obey(client.line);
    const std::size_t length = static_cast<std::size_t>(end - client.line) + 1;
    client.used -= length;
    ::memmove(client.line, end + 1, client.used + 1);
  }
  const bool babble = client.used == sizeof client.line - 1;
  if (size <= 0 || babble) client.fd.reset();
}

void MonitorClients::say(Client& client, const char* text) {
  const auto size = static_cast<ssize_t>(::strlen(text));
#ifdef MSG_NOSIGNAL
  const ssize_t sent = ::send(client.fd.get(), text, static_cast<std::size_t>(size), MSG_NOSIGNAL);
#else
  const ssize_t sent = ::write(client.fd.get(), text, static_cast<std::size_t>(size));
#endif
  // One that has gone may have said something before: that is still to be read.
  if (sent < 0 && errno == EPIPE) return;
  if (sent != size) client.fd.reset();  // it reads nothing: it may come back
}

void MonitorClients::say_all(const char* text) {
  for (Client& client : clients_) {
    if (client.fd) say(client, text);
  }
}

}  // namespace ndc::runtime
