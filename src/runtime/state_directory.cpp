#include "runtime/state_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

bool is_state_name(std::string_view name) {
  if (name.empty() || name.size() > 128 || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

// Whole or not at all, however the plugin ends.
Expected<void> replace_file(const std::string& path, std::string_view content) {
  const std::string begun = path + ".new";
  const UniqueFd file{
      ::open(begun.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!file) return fail(state_error(begun, errno));
  const auto failed = [&](int error) {
    ::unlink(begun.c_str());
    return fail(state_error(begun, error));
  };
  while (!content.empty()) {
    const ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed(written < 0 ? errno : ENOSPC);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::rename(begun.c_str(), path.c_str()) != 0) return failed(errno);
  return {};
}

Error state_error(const std::string& path, const std::string& cause) {
  return {ErrorCode::kInternal, "prepare state directory", path, cause,
          "check state_dir in the plugin's configuration"};
}

Error state_error(const std::string& path, int error) {
  Error out = state_error(path, std::strerror(error));
  // What passes without anybody changing the configuration.
  if (error == ENOSPC || error == EDQUOT) {
    out.code = ErrorCode::kRuntimeUnavailable;
    out.hint = kDiskFull;
  } else if (error == EMFILE || error == ENFILE || error == ENOMEM) {
    out.code = ErrorCode::kRuntimeUnavailable;
    out.hint = {};
  }
  return out;
}

bool disk_is_full(const std::string& path) {
  struct statvfs info {};
  return ::statvfs(path.c_str(), &info) == 0 && info.f_blocks > 0 && info.f_bavail == 0;
}

Expected<void> make_private_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path{path}.parent_path(), error);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(state_error(path, errno));
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail(state_error(path, errno));
  if (!S_ISDIR(info.st_mode)) return fail(state_error(path, "it is no directory"));
  if (info.st_uid != ::geteuid()) return fail(state_error(path, "it belongs to another user"));
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(state_error(path, "others can write to it: its mode must be 0700"));
  }
  return {};
}

}  // namespace ndc::runtime
