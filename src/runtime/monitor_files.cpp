#include "runtime/monitor_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/crash_point.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/own_file.hpp"
#include "runtime/text_fields.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxRecord = 16u << 10;

bool write_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

// macOS's fsync() leaves the bytes in the drive's cache, which a power cut empties.
bool sync_file(int fd) {
#ifdef F_FULLFSYNC
  if (::fcntl(fd, F_FULLFSYNC) == 0) return true;  // not every file system has it
#endif
  return ::fsync(fd) == 0;
}

// The file is not there. Every other failure (no descriptor, no memory) may pass, and tells
// nothing.
bool says_absent(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

// What can be read, with one call: the files are small.
std::string read_some(int fd, std::size_t limit) {
  std::string out(limit, '\0');
  const ssize_t size = ::read(fd, out.data(), limit);
  out.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return out;
}

}  // namespace

bool write_exit_record(const char* directory, const ExitRecord& record) {
  const std::string final_path = std::string{directory} + "/" + kMonitorExit;
  const std::string path = final_path + ".new";
  const UniqueFd file{
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!file) return false;
  const std::string text = exit_record_text(record);
  if (!write_all(file.get(), text.data(), text.size())) return false;
  crash_point("monitor.exit.written");
  if (::rename(path.c_str(), final_path.c_str()) != 0) return false;
  crash_point("monitor.exit.renamed");
  return true;
}

bool sync_exit_record(const char* directory) {
  const std::string path = std::string{directory} + "/" + kMonitorExit;
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  const UniqueFd parent{::open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!file || !parent || !sync_file(file.get()) || !sync_file(parent.get())) return false;
  crash_point("monitor.exit.synced");
  return true;
}

RecordLook look_for_exit_record(const std::string& directory) {
  const std::string path = directory + "/" + kMonitorExit;
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!file) {
    const int error = errno;
    return {std::nullopt, says_absent(error), error == ELOOP};
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return {std::nullopt, false, false};
  if (!is_own_file(info)) return {std::nullopt, true, true};
  auto record = parse_exit_record(read_some(file.get(), kMaxRecord));
  const bool damaged = !record;
  return {std::move(record), true, damaged};
}

pid_t living_monitor(const std::string& directory) {
  const std::string path = directory + "/" + kMonitorLock;
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (!file) return says_absent(errno) ? 0 : -1;
  if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0) return 0;
  return parse_monitor_lock(read_some(file.get(), 32));
}

pid_t parse_monitor_lock(std::string_view text) {
  pid_t pid = 0;
  return take_number(text, pid, '\n') && pid > 0 ? pid : -1;
}

std::uint64_t spooled(const std::string& directory) {
  return Spool::pending_in((directory + "/" + kMonitorSpoolOut).c_str()) +
         Spool::pending_in((directory + "/" + kMonitorSpoolErr).c_str());
}

std::string damaged_spools(const std::string& directory) {
  std::string out;
  for (const char* const name : {kMonitorSpoolOut, kMonitorSpoolErr}) {
    if (!Spool::damaged((directory + "/" + name).c_str())) continue;
    if (!out.empty()) out += " and ";
    out += name;
  }
  return out;
}

}  // namespace ndc::runtime
