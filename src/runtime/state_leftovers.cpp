#include "runtime/state_leftovers.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

#include "model/labels.hpp"
#include "runtime/state_directory.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kOwner = "/owner";  // lines of label=value

struct Owner {
  std::map<std::string, std::string> labels;
  WallTime since;
};

std::optional<Owner> read_owner(const std::string& directory) {
  const std::string path = directory + kOwner;
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  char text[2048];  // three labels of 64 characters or so
  const ssize_t size = ::read(file.get(), text, sizeof text);
  if (size <= 0) return std::nullopt;
  Owner out;
  out.since = std::chrono::system_clock::from_time_t(info.st_mtime);
  std::istringstream lines{std::string(text, static_cast<std::size_t>(size))};
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (equals != std::string::npos) out.labels[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return out;
}

}  // namespace

Expected<void> write_owner(const std::string& directory,
                           const std::map<std::string, std::string>& labels) {
  std::string text;
  for (const char* name : {kLabelNodeId, kLabelAllocId, kLabelTaskId}) {
    const auto found = labels.find(name);
    if (found != labels.end()) text += found->first + "=" + found->second + "\n";
  }
  return replace_file(directory + kOwner, text);
}

std::string owner_task(const std::string& directory) {
  const auto owner = read_owner(directory);
  if (!owner) return {};
  const auto task = owner->labels.find(kLabelTaskId);
  return task == owner->labels.end() ? std::string{} : task->second;
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
    auto owner = read_owner(entry.path());
    if (!owner) continue;
    found.push_back({{name, {}, {}}, std::move(owner->labels), false, owner->since});
  }
  return found;
}

}  // namespace ndc::runtime
