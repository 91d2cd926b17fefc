#include "runtime/apple_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/fnv.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/own_file.hpp"
#include "runtime/state_directory.hpp"
#include "runtime/state_leftovers.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxSocketPath = 100;  // macOS has room for 103 and a zero
constexpr const char* kEnvironment = "environment";
constexpr const char* kFailed = "failed";

std::string hash(std::string_view text) {
  char out[20];
  std::snprintf(out, sizeof out, "%016" PRIx64, fnv1a(text));
  return out;
}

}  // namespace

std::string AppleFiles::default_state_dir() {
  const char* home = std::getenv("HOME");
  if (::geteuid() == 0 || home == nullptr || *home != '/') {
    return "/var/lib/nomad-driver-container";
  }
  return std::string{home} + "/.nomad-driver-container";
}

AppleFiles::AppleFiles(const std::string& state_dir, std::string container_name)
    : state_dir_{state_dir.empty() ? default_state_dir() : state_dir},
      name_{std::move(container_name)},
      directory_{state_dir_ + "/" + name_} {
  const std::string file = "/" + hash(directory_);
  socket_ = state_dir_ + "/.s" + file;
  if (socket_.size() > kMaxSocketPath) {
    socket_ = "/tmp/ndc-" + std::to_string(::geteuid()) + file;
  }
}

Expected<void> AppleFiles::make(const std::map<std::string, std::string>& labels) const {
  if (!is_state_name(name_)) return fail(state_error(name_, "it is no container name"));
  for (const std::string& path : {state_dir_, socket_.substr(0, socket_.rfind('/')), directory_}) {
    if (auto made = make_private_directory(path); !made) return made;
  }
  if (auto owned = write_owner(directory_, labels); !owned) {
    ::rmdir(directory_.c_str());  // where it was made just now
    return owned;
  }
  for (const char* leftover :
       {kMonitorExit, kMonitorSpoolOut, kMonitorSpoolErr, kEnvironment, kFailed}) {
    const std::string path = directory_ + "/" + leftover;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return fail(state_error(path, errno));
    }
  }
  return {};
}

void AppleFiles::remove() const {
  if (!is_state_name(name_)) return;
  remove_task_directory(directory_);
  ::unlink(socket_.c_str());
}

void AppleFiles::note_failed_start() const {
  if (!is_state_name(name_)) return;
  const auto noted = replace_file(directory_ + "/" + kFailed, {});
  if (!noted) spdlog::warn("{}", noted.error().message());
}

bool AppleFiles::start_failed(const std::string& task_id) const {
  if (!is_state_name(name_)) return false;
  struct stat info {};
  const std::string note = directory_ + "/" + kFailed;
  return ::lstat(note.c_str(), &info) == 0 && is_own_file(info) &&
         owner_task(directory_) == task_id;
}

Expected<std::string> AppleFiles::write_environment(const std::string& text) const {
  const std::string path = directory_ + "/" + kEnvironment;
  const UniqueFd file{
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!file) return fail(state_error(path, errno));
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(file.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = errno;
      ::unlink(path.c_str());
      return fail(state_error(path, error));
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return path;
}

void AppleFiles::remove_environment() const { ::unlink((directory_ + "/" + kEnvironment).c_str()); }

}  // namespace ndc::runtime
