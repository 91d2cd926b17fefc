#include "runtime/state_leftovers.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "model/container_name.hpp"
#include "model/labels.hpp"
#include "runtime/own_file.hpp"
#include "runtime/state_directory.hpp"
#include "runtime/text_fields.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kOwner = "/owner";

// A monitor that has lost its directory may still write its record there, once or twice.
constexpr int kRemovals = 3;

// A task's directory has no owner for the moment between its making and its first file. Whatever
// the grace is that the operator set, another agent's must not be taken for a rest meanwhile.
constexpr std::chrono::minutes kSettled{1};

struct Owner {
  std::map<std::string, std::string> labels;
  WallTime since;
};

std::optional<Owner> read_owner(const std::string& directory) {
  const std::string path = directory + kOwner;
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !is_own_file(info)) return std::nullopt;
  char text[2048];  // three labels of 64 characters or so
  const ssize_t size = ::read(file.get(), text, sizeof text);
  if (size <= 0) return std::nullopt;
  return Owner{parse_owner({text, static_cast<std::size_t>(size)}),
               std::chrono::system_clock::from_time_t(info.st_mtime)};
}

// False where that is not known. Listed first: a name that goes may hide another one from a listing
// under way.
bool list(const std::string& directory, std::vector<std::filesystem::directory_entry>& out) {
  std::error_code failed;
  std::filesystem::directory_iterator entry{directory, failed};
  for (; !failed && entry != std::filesystem::directory_iterator{}; entry.increment(failed)) {
    out.push_back(*entry);
  }
  return !failed;
}

bool remove_all_but_owner(const std::string& directory) {
  std::vector<std::filesystem::directory_entry> entries;
  bool done = list(directory, entries);
  for (const auto& entry : entries) {
    if (entry.path() == directory + kOwner) continue;
    std::error_code failed;
    std::filesystem::remove_all(entry.path(), failed);
    if (failed) done = false;
  }
  return done;
}

// Whoever works with a task's files holds a lock on one of them: a monitor, or a call of the
// engine's program.
bool is_file_without_lock(const std::filesystem::directory_entry& entry) {
  std::error_code unknown;
  const auto status = entry.symlink_status(unknown);
  if (std::filesystem::is_fifo(status) || std::filesystem::is_socket(status)) return true;
  if (!std::filesystem::is_regular_file(status)) return false;
  const UniqueFd file{::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  return file && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
}

// When what is left of a removal there was changed last; nullopt where it is none, or that is not
// certain.
std::optional<WallTime> abandoned_since(const std::string& directory) {
  struct stat info {};
  // No descriptor, no memory: there may be an owner.
  if (::lstat((directory + kOwner).c_str(), &info) == 0 || errno != ENOENT) return std::nullopt;
  if (::lstat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return std::nullopt;
  if (info.st_uid != ::geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) return std::nullopt;
  const WallTime since = std::chrono::system_clock::from_time_t(info.st_mtime);
  const auto now = std::chrono::system_clock::now();
  if (since <= now && now - since < kSettled) return std::nullopt;
  std::vector<std::filesystem::directory_entry> entries;
  if (!list(directory, entries)) return std::nullopt;
  if (!std::all_of(entries.begin(), entries.end(), is_file_without_lock)) return std::nullopt;
  return since;
}

// "<allocation>/<task>/" of an attempt's id; empty where it is none of Nomad's.
std::string_view task_of(std::string_view task_id) {
  return task_id.substr(0, task_id.rfind('/') + 1);
}

}  // namespace

void remove_task_directory(const std::string& directory) {
  struct stat info {};
  if (::lstat(directory.c_str(), &info) != 0) return;
  if (!S_ISDIR(info.st_mode)) {
    ::unlink(directory.c_str());
    return;
  }
  for (int tries = 0; tries < kRemovals; ++tries) {
    if (!remove_all_but_owner(directory)) return;
    std::error_code failed;
    std::filesystem::remove_all(directory + kOwner, failed);
    if (::rmdir(directory.c_str()) == 0 || (errno != ENOTEMPTY && errno != EEXIST)) return;
  }
}

std::string owner_text(const std::map<std::string, std::string>& labels) {
  std::string out;
  for (const char* name : {kLabelNodeId, kLabelAllocId, kLabelTaskId}) {
    const auto found = labels.find(name);
    if (found != labels.end()) out += found->first + "=" + found->second + "\n";
  }
  return out;
}

std::map<std::string, std::string> parse_owner(std::string_view text) {
  std::map<std::string, std::string> out;
  for (std::string_view line; take_until(text, line, '\n');) {
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    out[std::string{line.substr(0, equals)}] = line.substr(equals + 1);
  }
  return out;
}

Expected<void> write_owner(const std::string& directory,
                           const std::map<std::string, std::string>& labels) {
  return replace_file(directory + kOwner, owner_text(labels));
}

std::string owner_task(const std::string& directory) {
  const auto owner = read_owner(directory);
  if (!owner) return {};
  const auto task = owner->labels.find(kLabelTaskId);
  return task == owner->labels.end() ? std::string{} : task->second;
}

bool is_of_task(const std::string& directory, std::string_view task_id) {
  const std::string owner = owner_task(directory);
  if (owner.empty() || owner == task_id) return !owner.empty();
  return !task_of(owner).empty() && task_of(owner) == task_of(task_id);
}

void renew_owner(const std::string& directory) {
  ::utimensat(AT_FDCWD, (directory + kOwner).c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
}

std::vector<FoundContainer> StateLeftovers::look(const std::set<std::string>& containers) const {
  std::vector<FoundContainer> found;
  std::error_code ignored;  // without a state directory there is nothing in it
  for (const auto& entry : std::filesystem::directory_iterator{state_dir_, ignored}) {
    const std::string name = entry.path().filename();
    std::error_code unknown;
    const bool directory = !entry.is_symlink(unknown) && entry.is_directory(unknown);
    if (!directory || !is_state_name(name)) continue;
    if (claimed_.contains(name) || containers.contains(name)) continue;
    if (auto owner = read_owner(entry.path())) {
      if (owner->labels.empty()) continue;
      found.push_back({{name, {}, {}}, std::move(owner->labels), false, owner->since});
    } else if (may_be_container_name(name)) {
      const auto since = abandoned_since(entry.path());
      if (since) found.push_back({{name, {}, {}}, {}, false, since});
    }
  }
  return found;
}

}  // namespace ndc::runtime
