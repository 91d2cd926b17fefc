#include "runtime/monitor_channel.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "runtime/crash_point.hpp"
#include "runtime/fifo_bytes.hpp"

namespace ndc::runtime {
namespace {

constexpr std::int64_t kSinkCheck = 1000;  // ms between two looks at the FIFO's path

// Past the spool's limit: one read in so many milliseconds. A CLI whose workload has ended hands
// out at most a pipe's content and gives up after 3 s; this pace takes it in time.
constexpr std::int64_t kSlowRead = 200;

constexpr std::int64_t kFullDisk = 100;  // ms between two looks for room

// One for both streams: each read is handed on before the next.
char buffer[32u << 10];

}  // namespace

std::int64_t monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

bool Channel::wants_source(std::int64_t now) const {
  if (!source_ || held_ > 0) return false;
  if (spool_.pending() < limit_) return true;
  return spool_.pending() < 2 * limit_ && now - slow_read_ >= kSlowRead;
}

int Channel::patience(std::int64_t now) const {
  std::int64_t next = -1;
  // Also while a FIFO holds what nobody has read: if another takes its place, the bytes are not to
  // wait for the task's next ones.
  if (spool_.pending() > 0 || unread()) {
    next = std::max<std::int64_t>(0, checked_ + kSinkCheck - now);
  }
  if (held_ > 0) {
    const std::int64_t look = std::max<std::int64_t>(0, checked_ + kFullDisk - now);
    next = next < 0 ? look : std::min(next, look);
  } else if (source_ && spool_.pending() >= limit_ && spool_.pending() < 2 * limit_ &&
             now - slow_read_ < kSlowRead) {
    // Then the source itself is waited for again.
    const std::int64_t read = slow_read_ + kSlowRead - now;
    next = next < 0 ? read : std::min(next, read);
  }
  return static_cast<int>(next);
}

bool Channel::due(std::int64_t now) const { return now - checked_ >= kSinkCheck; }

bool Channel::read_source(std::int64_t now) {
  if (now - checked_ >= kSinkCheck) tick(now);  // first: it uses the buffer too
  if (held_ > 0) tick(now);
  if (held_ > 0) return false;
  const ssize_t size = ::read(source_.get(), buffer, sizeof buffer);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (size <= 0) {  // the end; a terminal says EIO
    source_.reset();
    return false;
  }
  slow_read_ = now;
  const auto count = static_cast<std::size_t>(size);
  remember(buffer, count);
  crash_point("monitor.log.read");
  const std::size_t written = spool_.pending() == 0 ? write_now(buffer, count) : 0;
  crash_point("monitor.log.written");
  if (written < count && !spool_.append(buffer + written, count - written)) {
    // The disk takes nothing. The workload waits, which is better than a hole in its log.
    held_ = count - written;
    std::memcpy(held_bytes_, buffer + written, held_);
  }
  if (written < count) crash_point("monitor.log.spooled");
  return true;
}

std::size_t Channel::write_now(const char* bytes, std::size_t size) {
  if (!sink_) open_sink();
  std::size_t done = 0;
  while (sink_ && done < size) {
    const ssize_t written = ::write(sink_.get(), bytes + done, size - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += static_cast<std::size_t>(written);
  }
  return done;
}

void Channel::write_sink(std::int64_t now) {
  if (now - checked_ >= kSinkCheck) tick(now);
  const std::size_t size = spool_.peek(buffer, sizeof buffer);
  // Written, then noted: killed in between, a successor repeats it. The other way it would be lost.
  if (size > 0) spool_.consume(write_now(buffer, size));
  crash_point("monitor.log.unspooled");
}

// Behind what is in the spool.
void Channel::place_held() {
  const std::size_t written = spool_.pending() == 0 ? write_now(held_bytes_, held_) : 0;
  held_ -= written;
  std::memmove(held_bytes_, held_bytes_ + written, held_);
  // A removed directory (ENOENT): nobody asks for it any more.
  if (held_ > 0 && (spool_.append(held_bytes_, held_) || errno == ENOENT)) held_ = 0;
}

// Read-write, so that it opens without a reader and never breaks. Only a FIFO or /dev/null: the
// directory is the task's too, and a link placed there must not be followed.
void Channel::open_sink() {
  if (finished_) return;
  const bool null = std::strcmp(sink_path_, "/dev/null") == 0;
  UniqueFd fd{::open(sink_path_, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW)};
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || (!null && !S_ISFIFO(info.st_mode))) return;
  sink_device_ = info.st_dev;
  sink_inode_ = info.st_ino;
  sink_ = std::move(fd);
}

void Channel::tick(std::int64_t now) {
  checked_ = now;
  struct stat info {};
  const bool there = ::lstat(sink_path_, &info) == 0;
  if (sink_ && there && (info.st_ino != sink_inode_ || info.st_dev != sink_device_)) {
    if (take_back()) sink_.reset();
  }
  if (!sink_) open_sink();
  if (spool_.pending() > 0) {
    const std::size_t size = spool_.peek(buffer, sizeof buffer);
    if (size > 0) spool_.consume(write_now(buffer, size));
  }
  if (held_ > 0) place_held();
}

bool Channel::unread() const { return sink_ && fifo_holds_bytes(sink_.get()); }

bool Channel::delivered() const {
  return !source_ && held_ == 0 && spool_.pending() == 0 && !unread();
}

void Channel::finish() {
  sink_.reset();
  finished_ = true;
}

bool Channel::take_back() {
  if (!sink_ || std::strcmp(sink_path_, "/dev/null") == 0) return true;
  // A FIFO may hold more than the buffer, and the spool is put in front as a whole.
  static char held[64u << 10];
  std::size_t size = 0;
  while (size < sizeof held) {
    const ssize_t got = ::read(sink_.get(), held + size, sizeof held - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size == 0) return true;
  if (!spool_.prepend(held, size)) {
    write_now(held, size);  // there is room: this process has just emptied it
    return false;
  }
  crash_point("monitor.log.taken_back");
  return true;
}

void Channel::keep() {
  take_back();
  if (held_ > 0 && spool_.append(held_bytes_, held_)) held_ = 0;
}

void Channel::remember(const char* bytes, std::size_t size) {
  if (tail_.bytes == nullptr) return;
  const std::size_t kept = std::min(size, tail_.size);
  const std::size_t old = std::min(tail_.used, tail_.size - kept);
  std::memmove(tail_.bytes, tail_.bytes + tail_.used - old, old);
  std::memcpy(tail_.bytes + old, bytes + size - kept, kept);
  tail_.used = old + kept;
}

}  // namespace ndc::runtime
