#include "standin/store.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "standin/version.hpp"

namespace standin {

Store::Store(std::string root) : root_(std::move(root)) {
  for (const char* name :
       {"containers", "images", "networks", "volumes", "registries", "faults", "faults/state"}) {
    if (!make_directories(path(name))) fail("cannot create the state directory " + path(name));
  }
}

std::optional<Json> Store::record(const std::string& id) const {
  if (id.empty() || id.find('/') != std::string::npos || id[0] == '.') return std::nullopt;
  const auto text = read_file(container_path(id) + "/record.json");
  if (!text) return std::nullopt;
  return parse_json(*text);
}

bool Store::exists(const std::string& id) const {
  return !id.empty() && id.find('/') == std::string::npos && id[0] != '.' &&
         access((container_path(id) + "/record.json").c_str(), F_OK) == 0;
}

// Built aside and renamed: nobody sees half a container, and only one of two with one ID wins.
bool Store::add_container(const std::string& id, const Json& record) const {
  const std::string fresh = path("containers/.new-" + id + "-" + std::to_string(getpid()));
  if (!make_directories(fresh + "/execs") ||
      !write_file(fresh + "/record.json", to_plain_text(record))) {
    fail("cannot write " + fresh);
  }
  if (rename(fresh.c_str(), container_path(id).c_str()) == 0) return true;
  remove_tree(fresh);
  return false;
}

void Store::remove_container(const std::string& id) const {
  const std::string dead = path("containers/.dead-" + id + "-" + std::to_string(getpid()));
  if (rename(container_path(id).c_str(), dead.c_str()) == 0) remove_tree(dead);
}

ContainerState Store::state(const std::string& id) const {
  ContainerState state;
  const auto text = read_file(container_path(id) + "/" + kStateFile);
  if (!text) return state;
  char word[16] = {};
  long workload = 0;
  long helper = 0;
  long started_in = 0;
  double started = 0;
  if (std::sscanf(text->c_str(), "%15s %ld %ld %ld %lf", word, &workload, &helper, &started_in,
                  &started) != 5) {
    return state;
  }
  const bool alive =
      std::strcmp(word, "running") == 0 && is_locked(container_path(id) + "/" + kAliveFile);
  const bool known = started_in == epoch();
  state.running = alive && known;
  state.orphaned = alive && !known;
  if (alive) {
    state.workload = static_cast<pid_t>(workload);
    state.helper = static_cast<pid_t>(helper);
  }
  if (known) state.started = started;
  return state;
}

long Store::epoch() const {
  const auto text = read_file(path("epoch"));
  return text ? std::strtol(text->c_str(), nullptr, 10) : 0;
}

void Store::next_epoch() const { write_file(path("epoch"), std::to_string(epoch() + 1)); }

Fd Store::begin_ask(const std::string& id, const std::string& line) const {
  // The path of a Unix socket may be short only: go there and use a name.
  const Fd here(open(".", O_RDONLY | O_CLOEXEC));
  if (chdir(container_path(id).c_str()) != 0) return {};
  Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", kSocketFile);
  const bool connected =
      connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (here && fchdir(here.get()) != 0) return {};
  if (!connected || !write_all(fd.get(), line + "\n")) fd.reset();
  return fd;
}

bool Store::await_answer(const Fd& asked) {
  if (!asked) return false;
  char buffer[16];
  ssize_t got = 0;
  do {
    got = read(asked.get(), buffer, sizeof buffer);
  } while (got < 0 && errno == EINTR);
  return got > 0;
}

bool Store::ask(const std::string& id, const std::string& line) const {
  return await_answer(begin_ask(id, line));
}

}  // namespace standin
