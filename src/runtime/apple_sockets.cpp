// publish_sockets: where a container's unix sockets appear on the host.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
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

// What is at the path already. The CLI refuses a socket and deletes any other file. A socket that
// nobody listens at is removed when the task starts.
std::optional<Error> in_the_way(const Volume& socket, const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  if (!S_ISSOCK(info.st_mode)) {
    return refused(socket, "a file is there, which Apple's container would delete",
                   "use another path");
  }
  if (somebody_listens(path)) return refused(socket, "it is in use", "use another path");
  return std::nullopt;
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
    } else if (auto error = in_the_way(socket, resolved.source)) {
      errors.push_back(std::move(*error));
    }
    out.push_back(std::move(resolved));
  }
  if (!errors.empty()) return fail(combine({}, {}, errors));
  return out;
}

Expected<void> remove_stale_sockets(const std::vector<Volume>& sockets) {
  for (const Volume& socket : sockets) {
    struct stat info {};
    if (::lstat(socket.source.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) continue;
    if (::unlink(socket.source.c_str()) != 0 && errno != ENOENT) {
      return fail(refused(socket, std::string{"a stale socket is there: "} + std::strerror(errno),
                          "remove it"));
    }
  }
  return {};
}

}  // namespace ndc::runtime
