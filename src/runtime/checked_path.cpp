#include "runtime/checked_path.hpp"

#include <sys/stat.h>

#include <utility>

#include "runtime/mount_policy.hpp"

namespace ndc::runtime {

CheckedPath checked_path(std::string path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {std::move(path), 0, 0};
  return {std::move(path), info.st_dev, info.st_ino};
}

std::optional<Error> led_elsewhere(const std::vector<CheckedPath>& paths) {
  for (const CheckedPath& then : paths) {
    const CheckedPath now = checked_path(then.path);
    const bool same = now.device == then.device && now.inode == then.inode && now.inode != 0;
    if (same && real_path(then.path) == then.path) continue;
    return Error{ErrorCode::kInvalidConfig, "use path", then.path,
                 "it was led elsewhere while the container was prepared",
                 "see which task of the allocation replaces directories by links"};
  }
  return std::nullopt;
}

}  // namespace ndc::runtime
