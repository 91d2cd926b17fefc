#include "runtime/proc_linux.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>

namespace ndc::runtime {
namespace {

std::string proc(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

template <class T>
bool to_number(std::string_view text, T& out) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, out);
  return result.ec == std::errc{} && result.ptr == end;
}

}  // namespace

std::optional<std::string> read_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (!fd) return std::nullopt;
  std::string out;
  char buffer[4096];
  while (out.size() < limit) {
    const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::nullopt;
    if (count == 0) break;
    out.append(buffer, static_cast<std::size_t>(count));
  }
  if (out.size() > limit) out.resize(limit);
  return out;
}

std::optional<ProcessStat> parse_stat(std::string_view text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 > text.size()) return std::nullopt;
  text.remove_prefix(name_end + 2);
  std::vector<std::string_view> fields;  // from field 3, the state, on
  while (fields.size() < 20) {
    const std::size_t end = text.find(' ');
    fields.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  ProcessStat out;
  if (fields.size() < 20 || fields[0].size() != 1 || !to_number(fields[1], out.parent) ||
      !to_number(fields[3], out.session) || !to_number(fields[19], out.start_time)) {
    return std::nullopt;
  }
  out.state = fields[0][0];
  return out;
}

std::optional<ProcessStat> process_stat(pid_t pid) {
  if (pid <= 0) return std::nullopt;
  const auto text = read_file(proc(pid, "stat"));
  return text ? parse_stat(*text) : std::nullopt;
}

std::vector<std::string> parse_texts(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\0');
    out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::vector<std::string> process_arguments(pid_t pid) {
  return parse_texts(read_file(proc(pid, "cmdline")).value_or(""));
}

std::vector<std::string> process_environment(pid_t pid) {
  return parse_texts(read_file(proc(pid, "environ")).value_or(""));
}

bool in_container(pid_t pid, const std::string& container_id) {
  if (pid <= 0 || container_id.size() < 12) return false;
  const auto text = read_file(proc(pid, "cgroup"));
  return text && text->find(container_id) != std::string::npos;
}

std::string parse_fib_trie(std::string_view text) {
  std::string_view leaf;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (const std::size_t at = line.find("|-- "); at != std::string_view::npos) {
      leaf = line.substr(at + 4);
    } else if (line.find("/32 host LOCAL") != std::string_view::npos && !leaf.empty() &&
               !leaf.starts_with("127.")) {
      return std::string{leaf};
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return {};
}

std::string container_address(pid_t pid) {
  const auto text = read_file(proc(pid, "net/fib_trie"));
  return text ? parse_fib_trie(*text) : std::string{};
}

std::optional<std::uint64_t> parse_io(std::string_view text) {
  std::uint64_t total = 0;
  bool found = false;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    for (const std::string_view key : {"rchar: ", "wchar: "}) {
      std::uint64_t value = 0;
      if (line.starts_with(key) && to_number(line.substr(key.size()), value)) {
        total += value;
        found = true;
      }
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return found ? std::optional{total} : std::nullopt;
}

std::optional<std::uint64_t> bytes_moved(pid_t pid) {
  const auto text = read_file(proc(pid, "io"));
  return text ? parse_io(*text) : std::nullopt;
}

UniqueFd open_pidfd(pid_t pid) {
  if (pid <= 0) {
    errno = ESRCH;
    return UniqueFd{};
  }
  // The descriptor is close-on-exec by definition.
  return UniqueFd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
}

int signal_pidfd(const UniqueFd& pidfd, int signal) {
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0 ? 0 : errno;
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir("/proc"), &::closedir};
  if (!directory) return out;
  while (const dirent* entry = ::readdir(directory.get())) {
    pid_t pid = 0;
    if (to_number(std::string_view{entry->d_name}, pid)) out.push_back(pid);
  }
  return out;
}

}  // namespace ndc::runtime
