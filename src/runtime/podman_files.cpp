#include "runtime/podman_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>

namespace ndc::runtime {
namespace {

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > 128 || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

Error broken(const std::string& path, const std::string& cause) {
  return {ErrorCode::kInternal, "prepare state directory", path, cause,
          "check state_dir in the plugin's configuration"};
}

std::string first_word(const std::string& path) {
  std::ifstream file{path};
  char text[128] = {};
  file.read(text, sizeof text - 1);
  const std::string_view all{text};
  return std::string{all.substr(0, all.find_first_of(" \n\t"))};
}

pid_t process_id(const std::string& path) {
  const std::string text = first_word(path);
  pid_t pid = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), pid);
  const bool whole = result.ec == std::errc{} && result.ptr == text.data() + text.size();
  return whole && pid > 0 ? pid : 0;
}

}  // namespace

bool is_container_id(std::string_view id) {
  return id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

PodmanFiles::PodmanFiles(const std::string& state_dir, std::string container_name)
    : state_dir_{state_dir},
      name_{std::move(container_name)},
      directory_{state_dir + "/" + name_} {}

Expected<void> PodmanFiles::make() const {
  if (!is_name(name_)) return fail(broken(name_, "it is no container name"));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path{state_dir_}.parent_path(), error);
  if (::mkdir(state_dir_.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(broken(state_dir_, std::strerror(errno)));
  }
  struct stat info {};
  if (::lstat(state_dir_.c_str(), &info) != 0)
    return fail(broken(state_dir_, std::strerror(errno)));
  if (!S_ISDIR(info.st_mode)) return fail(broken(state_dir_, "it is no directory"));
  if (info.st_uid != ::geteuid()) return fail(broken(state_dir_, "it belongs to another user"));
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(broken(state_dir_, "others can write to it: its mode must be 0700"));
  }
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(broken(directory_, std::strerror(errno)));
  }
  for (const std::string& path : {id_file(), pid_file(), conmon_pid_file()}) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return fail(broken(path, std::strerror(errno)));
    }
  }
  return {};
}

void PodmanFiles::remove() const {
  if (!is_name(name_)) return;
  std::error_code ignored;  // what stays is made anew, or replaced, by the next task of this name
  std::filesystem::remove_all(directory_, ignored);
}

Expected<std::shared_ptr<UniqueFd>> PodmanFiles::endless_input() const {
  const std::string path = directory_ + "/stdin";
  ::unlink(path.c_str());
  if (::mkfifo(path.c_str(), 0600) != 0) return fail(broken(path, std::strerror(errno)));
  auto fd = std::make_shared<UniqueFd>(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const int error = errno;
  ::unlink(path.c_str());
  if (!*fd) return fail(broken(path, std::strerror(error)));
  return fd;
}

std::optional<std::string> PodmanFiles::id() const {
  std::string id = first_word(id_file());
  if (!is_container_id(id)) return std::nullopt;
  return id;
}

pid_t PodmanFiles::pid() const { return process_id(pid_file()); }
pid_t PodmanFiles::conmon_pid() const { return process_id(conmon_pid_file()); }

}  // namespace ndc::runtime
