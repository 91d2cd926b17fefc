// publish_sockets: where a container's unix sockets appear on the host.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/apple_start.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

Error refused(const Volume& socket, std::string cause, std::string hint) {
  return {ErrorCode::kInvalidConfig, "publish socket", socket.source, std::move(cause),
          std::move(hint)};
}

bool somebody_listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return true;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM, 0)};
  return !fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
         errno != ECONNREFUSED;
}

bool is_socket(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

// The CLI deletes any file that is no socket.
bool is_other_file(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && !S_ISSOCK(info.st_mode);
}

Error would_be_deleted(const Volume& socket) {
  return refused(socket, "a file is there, which Apple's container would delete",
                 "use another path");
}

}  // namespace

Expected<std::vector<Volume>> apple_sockets(const TaskSpec& spec, const TaskConfig& config,
                                            const PluginConfig::Volumes& policy) {
  std::vector<Volume> out;
  std::vector<Error> errors;
  for (const Volume& socket : config.publish_sockets) {
    const std::size_t slash = socket.source.rfind('/');
    const std::string name =
        slash == std::string::npos ? socket.source : socket.source.substr(slash + 1);
    std::string parent = slash == std::string::npos ? "." : socket.source.substr(0, slash);
    if (parent.empty()) parent = "/";
    if (!socket.target.starts_with('/')) {
      errors.push_back(refused(socket, quoted(socket.target) + " is no absolute path",
                               "write where in the container the socket is"));
      continue;
    }
    auto directory = allowed_path(spec, parent, policy);
    if (!directory) {
      errors.push_back(std::move(directory.error()));
      continue;
    }
    Volume resolved{*directory + "/" + name, socket.target, {}};
    if (name.empty() || resolved.source.find(':') != std::string::npos ||
        resolved.target.find(':') != std::string::npos) {
      errors.push_back(
          refused(socket, "it is no path that Apple's container takes", "use a path without ':'"));
    } else if (resolved.source.size() >= sizeof(sockaddr_un::sun_path)) {
      errors.push_back(refused(socket, "its path is too long for a socket", "use a shorter one"));
    } else if (is_other_file(resolved.source)) {
      errors.push_back(would_be_deleted(socket));
    }
    out.push_back(std::move(resolved));
  }
  if (!errors.empty()) return fail(combine({}, {}, errors));
  return out;
}

bool sockets_are_there(const std::vector<Volume>& sockets) {
  return std::any_of(sockets.begin(), sockets.end(), [](const Volume& socket) {
    return is_socket(socket.source) || is_other_file(socket.source);
  });
}

Expected<void> clear_sockets(const std::vector<Volume>& sockets) {
  std::vector<Error> errors;
  for (const Volume& socket : sockets) {
    if (is_other_file(socket.source)) errors.push_back(would_be_deleted(socket));
    if (!is_socket(socket.source) || !somebody_listens(socket.source)) continue;
    errors.push_back(refused(socket, "it is in use", "use another path"));
  }
  if (!errors.empty()) return fail(combine({}, {}, errors));
  for (const Volume& socket : sockets) {
    if (!is_socket(socket.source)) continue;
    if (::unlink(socket.source.c_str()) != 0 && errno != ENOENT) {
      return fail(refused(socket, std::string{"a stale socket is there: "} + std::strerror(errno),
                          "remove it"));
    }
  }
  return {};
}

}  // namespace ndc::runtime
