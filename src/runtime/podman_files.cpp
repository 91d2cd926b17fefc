#include "runtime/podman_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <limits>
#include <string_view>
#include <utility>

#include "runtime/state_directory.hpp"
#include "runtime/state_leftovers.hpp"

namespace ndc::runtime {
namespace {

// An id or a number is shorter.
std::string beginning(const std::string& path) {
  std::ifstream file{path};
  char text[127];
  file.read(text, sizeof text);
  return {text, static_cast<std::size_t>(file.gcount())};
}

std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find_first_of(std::string_view{" \n\t\0", 4}));
}

}  // namespace

std::string parse_container_id(std::string_view text) {
  const std::string_view id = first_word(text);
  return is_container_id(id) ? std::string{id} : std::string{};
}

pid_t parse_process_id(std::string_view text) {
  const std::string_view word = first_word(text);
  pid_t pid = 0;
  const auto result = std::from_chars(word.data(), word.data() + word.size(), pid);
  const bool whole = result.ec == std::errc{} && result.ptr == word.data() + word.size();
  return whole && pid > 0 ? pid : 0;
}

bool is_container_id(std::string_view id) {
  return id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

PodmanFiles::PodmanFiles(const std::string& state_dir, std::string container_name)
    : state_dir_{state_dir},
      name_{std::move(container_name)},
      directory_{state_dir + "/" + name_} {}

Expected<void> PodmanFiles::make(const std::map<std::string, std::string>& labels) const {
  if (!is_state_name(name_)) return fail(state_error(name_, "it is no container name"));
  if (auto made = make_private_directory(state_dir_); !made) return made;
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(state_error(directory_, errno));
  }
  if (auto owned = write_owner(directory_, labels); !owned) {
    ::rmdir(directory_.c_str());  // where it was made just now
    return owned;
  }
  return forget_attempt();
}

Expected<void> PodmanFiles::forget_attempt() const {
  // runc writes the process id into a hidden file beside it, and refuses to begin where that is
  // there: so it is when the disk was full.
  const std::string unfinished = directory_ + "/.pid";
  for (const std::string& path :
       {id_file(), pid_file(), unfinished, conmon_pid_file(), oom_file()}) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return fail(state_error(path, errno));
    }
  }
  return {};
}

Expected<void> PodmanFiles::keep_id(const std::string& id) const {
  return replace_file(id_file(), id);
}

void PodmanFiles::remove() const {
  if (!is_state_name(name_)) return;
  remove_task_directory(directory_);
}

Expected<std::shared_ptr<UniqueFd>> PodmanFiles::endless_input() const {
  const std::string path = directory_ + "/stdin";
  ::unlink(path.c_str());
  if (::mkfifo(path.c_str(), 0600) != 0) return fail(state_error(path, errno));
  auto fd = std::make_shared<UniqueFd>(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const int error = errno;
  ::unlink(path.c_str());
  if (!*fd) return fail(state_error(path, error));
  return fd;
}

bool PodmanFiles::oom_noted() const {
  struct stat info {};
  return is_state_name(name_) && ::lstat(oom_file().c_str(), &info) == 0;
}

std::optional<std::string> PodmanFiles::id() const {
  std::string id = parse_container_id(beginning(id_file()));
  if (id.empty()) return std::nullopt;
  return id;
}

pid_t PodmanFiles::pid() const { return parse_process_id(beginning(pid_file())); }
pid_t PodmanFiles::conmon_pid() const { return parse_process_id(beginning(conmon_pid_file())); }

}  // namespace ndc::runtime
