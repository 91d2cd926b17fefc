#include "rpc/handshake.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace ndc::rpc {
namespace {

constexpr const char* kCookie = "NOMAD_PLUGIN_MAGIC_COOKIE";
constexpr std::string_view kCookieValue =
    "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255";
constexpr const char* kPrefix = "ndcp-";  // of the directory's name; mkdtemp adds six characters
constexpr const char* kSocket = "/plugin.sock";
constexpr std::time_t kYoungSeconds = 60;
constexpr std::size_t kMaxSocketPath = 103;  // the smallest limit of the platforms: macOS

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

tl::unexpected<Error> system_failure(std::string what, std::string on, int code) {
  return fail({.code = ErrorCode::kInternal,
               .what = std::move(what),
               .on = std::move(on),
               .cause = std::generic_category().message(code)});
}

Expected<gid_t> group_id(const std::string& group) {
  gid_t id = 0;
  const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), id);
  if (error == std::errc{} && end == group.data() + group.size()) return id;
  std::vector<char> buffer(std::size_t{16} * 1024);
  struct group entry {};
  struct group* found = nullptr;
  const int code = getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return found->gr_gid;
  return fail({.code = ErrorCode::kInvalidConfig,
               .what = "find the socket's group",
               .on = group,
               .cause = code != 0 ? std::generic_category().message(code) : "no such group",
               .hint = "see PLUGIN_UNIX_SOCKET_GROUP in Nomad's environment"});
}

int open_directory(const std::string& path) {
  return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// Whether it is a socket's directory whose owner is gone. A lock ends with its process, in whatever
// PID namespace that was; a directory that is not locked yet is young.
bool is_left_over(int directory) {
  struct stat info {};
  return fstat(directory, &info) == 0 && info.st_uid == geteuid() &&
         std::time(nullptr) - info.st_mtime > kYoungSeconds &&
         flock(directory, LOCK_EX | LOCK_NB) == 0;
}

// Removes what killed plugins of this user left.
void sweep(const std::string& parent) {
  std::error_code error;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator it{parent, error}; !error && it != end;
       it.increment(error)) {
    const std::string path = it->path();
    const std::string name = it->path().filename();
    if (!name.starts_with(kPrefix) || name.size() != std::strlen(kPrefix) + 6) continue;
    const int directory = open_directory(path);
    if (directory < 0) continue;
    if (is_left_over(directory)) {
      unlinkat(directory, kSocket + 1, 0);
      rmdir(path.c_str());  // with anything else in it, it stays
    }
    close(directory);
  }
}

}  // namespace

bool started_by_nomad() { return environment(kCookie) == kCookieValue; }

Expected<HandshakeRequest> HandshakeRequest::from_environment() {
  // Whoever asks for TLS must not get a connection without it.
  if (!environment("PLUGIN_CLIENT_CERT").empty()) {
    return fail({.code = ErrorCode::kUnsupported,
                 .what = "start the plugin",
                 .cause = "its host asks for TLS (PLUGIN_CLIENT_CERT), which it does not serve",
                 .hint = "remove PLUGIN_CLIENT_CERT from Nomad's environment"});
  }
  HandshakeRequest out;
  out.socket_dir = environment("PLUGIN_UNIX_SOCKET_DIR");
  if (out.socket_dir.empty()) out.socket_dir = environment("TMPDIR");
  if (out.socket_dir.empty()) out.socket_dir = "/tmp";
  out.socket_group = environment("PLUGIN_UNIX_SOCKET_GROUP");
  out.multiplexing = !environment("PLUGIN_MULTIPLEX_GRPC").empty();
  return out;
}

void clear_handshake_environment() {
  for (const char* name :
       {kCookie, "PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_PROTOCOL_VERSIONS",
        "PLUGIN_CLIENT_CERT", "PLUGIN_UNIX_SOCKET_DIR", "PLUGIN_UNIX_SOCKET_GROUP",
        "PLUGIN_MULTIPLEX_GRPC"}) {
    unsetenv(name);
  }
}

SocketPlace::SocketPlace(std::string directory, int lock)
    : directory_{std::move(directory)}, socket_{directory_ + kSocket}, lock_{lock} {}

SocketPlace::SocketPlace(SocketPlace&& other) noexcept
    : directory_{std::exchange(other.directory_, {})},
      socket_{std::exchange(other.socket_, {})},
      lock_{std::exchange(other.lock_, -1)} {}

Expected<SocketPlace> SocketPlace::make(const std::string& parent) {
  std::string path = parent;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string directory = path;
  path += std::string{"/"} + kPrefix + "XXXXXX";
  const std::size_t length = path.size() + std::strlen(kSocket);
  if (length > kMaxSocketPath || path.find_first_of("|\n") != std::string::npos) {
    return fail({.code = ErrorCode::kInvalidConfig,
                 .what = "make a socket in",
                 .on = parent,
                 .cause = length > kMaxSocketPath
                              ? "its path would have " + std::to_string(length) +
                                    " bytes, and a socket's has " + std::to_string(kMaxSocketPath) +
                                    " at most"
                              : "the path holds a character that the handshake cannot carry",
                 .hint = "set PLUGIN_UNIX_SOCKET_DIR or TMPDIR to a short path"});
  }
  if (mkdtemp(path.data()) == nullptr) {  // mode 0700
    return system_failure("make a directory for the socket in", parent, errno);
  }
  const int lock = open_directory(path);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    if (lock >= 0) close(lock);
    rmdir(path.c_str());
    return system_failure("lock the directory of the socket", path, code);
  }
  sweep(directory.empty() ? "/" : directory);
  return SocketPlace{std::move(path), lock};
}

Expected<void> SocketPlace::share_with(const std::string& group) const {
  const auto id = group_id(group);
  if (!id) return fail(id.error());
  const auto open_up = [&](const std::string& path, mode_t mode) {
    return chown(path.c_str(), static_cast<uid_t>(-1), *id) == 0 && chmod(path.c_str(), mode) == 0;
  };
  // The directory last: nobody gets in before the socket has its mode.
  if (!open_up(socket_, 0660) || !open_up(directory_, 0710)) {
    return system_failure("give the socket to group", group, errno);
  }
  return {};
}

void SocketPlace::remove() {
  if (directory_.empty()) return;
  unlink(socket_.c_str());
  rmdir(directory_.c_str());
  close(std::exchange(lock_, -1));
}

std::string handshake_line(const std::string& socket, const HandshakeRequest& request) {
  // Core version, the application's version, network, address, transport, no certificate.
  std::string line = "1|2|unix|" + socket + "|grpc|";
  if (request.multiplexing) line += "|false";
  return line + "\n";
}

Expected<void> announce(const std::string& line) {
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(STDOUT_FILENO, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_failure("write the handshake line", "", errno);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null < 0) return system_failure("open", "/dev/null", errno);
  dup2(null, STDOUT_FILENO);
  close(null);
  return {};
}

}  // namespace ndc::rpc
