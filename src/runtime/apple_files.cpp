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

#include "model/labels.hpp"
#include "runtime/fnv.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/own_file.hpp"
#include "runtime/state_directory.hpp"
#include "runtime/state_leftovers.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxSocketPath = 100;  // macOS has room for 103 and a zero
constexpr const char* kEnvironment = "environment";
constexpr const char* kFailed = "failed";
constexpr const char* kSpools[] = {kMonitorSpoolOut, kMonitorSpoolErr};
constexpr const char* kOthers[] = {kMonitorExit, kEnvironment, kFailed};

std::string hash(std::string_view text) {
  char out[20];
  std::snprintf(out, sizeof out, "%016" PRIx64, fnv1a(text));
  return out;
}

Expected<void> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail(state_error(path, errno));
  return {};
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
  // Before the directory says that it is this task's, for then its output would be, too.
  const auto task = labels.find(kLabelTaskId);
  const bool same = task != labels.end() && is_of_task(directory_, task->second);
  for (const char* spool : kSpools) {
    const std::string path = directory_ + "/" + spool;
    if (same && Spool::pending_in(path.c_str()) > 0) continue;
    if (auto removed = remove_file(path); !removed) return removed;
  }
  for (const char* other : kOthers) {
    if (auto removed = remove_file(directory_ + "/" + other); !removed) return removed;
  }
  if (auto owned = write_owner(directory_, labels); !owned) {
    ::rmdir(directory_.c_str());  // where it was made just now
    return owned;
  }
  return {};
}

void AppleFiles::remove() const {
  if (!is_state_name(name_)) return;
  remove_task_directory(directory_);
  ::unlink(socket_.c_str());
}

// The lock stays: a monitor that does not end must not lose what proves it alive.
std::uint64_t AppleFiles::remove_all_but_output() const {
  const std::uint64_t left = is_state_name(name_) ? spooled(directory_) : 0;
  if (left == 0 || owner_task(directory_).empty()) {
    remove();
    return 0;
  }
  renew_owner(directory_);
  for (const char* spool : kSpools) {
    const std::string path = directory_ + "/" + spool;
    if (Spool::pending_in(path.c_str()) == 0) ::unlink(path.c_str());
  }
  for (const char* other : kOthers) ::unlink((directory_ + "/" + other).c_str());
  if (living_monitor(directory_) == 0) ::unlink(socket_.c_str());
  return left;
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
