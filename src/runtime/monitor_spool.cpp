#include "runtime/monitor_spool.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/own_file.hpp"

namespace ndc::runtime {
namespace {

// At the file's start; the queue's bytes follow.
struct Header {
  char magic[8];
  std::uint64_t delivered;
};
constexpr char kMagic[8] = {'n', 'd', 'c', 's', 'p', 'l', '1', '\n'};
constexpr off_t kBegin = sizeof(Header);

bool write_at(int fd, const char* bytes, std::size_t size, off_t at) {
  while (size > 0) {
    const ssize_t written = ::pwrite(fd, bytes, size, at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    at += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

// Leaves both numbers alone where it is no spool.
bool read_state(int fd, std::uint64_t& delivered, std::uint64_t& end) {
  struct stat info {};
  Header header{};
  if (::fstat(fd, &info) != 0 || !is_own_file(info) || info.st_size < kBegin) return false;
  if (::pread(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return false;
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return false;
  const auto size = static_cast<std::uint64_t>(info.st_size - kBegin);
  // consume() cuts all bytes off before it notes that. Where some are left it was not consume().
  if (size > 0 && header.delivered > size) return false;
  end = size;
  delivered = std::min(header.delivered, size);
  return true;
}

}  // namespace

std::uint64_t Spool::pending_in(const char* path) {
  const UniqueFd file{::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  std::uint64_t delivered = 0;
  std::uint64_t end = 0;
  if (!file || !read_state(file.get(), delivered, end)) return 0;
  return end - delivered;
}

bool Spool::damaged(const char* path) {
  const UniqueFd file{::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!file) return errno == ELOOP || errno == EACCES;
  std::uint64_t delivered = 0;
  std::uint64_t end = 0;
  return !read_state(file.get(), delivered, end);
}

bool Spool::restore() {
  char unfinished[1024];
  if (replacement(unfinished)) ::unlink(unfinished);
  file_ = UniqueFd{::open(path_, O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
  if (!file_) return errno == ENOENT;
  if (!read_state(file_.get(), delivered_, end_)) {
    file_.reset();
  } else if (end_ == 0 && !save_position()) {
    drop();  // as in consume()
  }
  return true;
}

bool Spool::open() {
  if (file_) return true;
  file_ = UniqueFd{::open(path_, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!file_) return false;
  if (save_position()) return true;
  drop();
  return false;
}

// A file without a whole header is none to a successor: nothing that is put into it would be found.
// The next append makes it anew.
void Spool::drop() {
  const int error = errno;
  ::unlink(path_);
  file_.reset();
  delivered_ = end_ = 0;
  errno = error;
}

bool Spool::save_position() const {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.delivered = delivered_;
  return write_at(file_.get(), reinterpret_cast<const char*>(&header), sizeof header, 0);
}

bool Spool::append(const char* bytes, std::size_t size) {
  if (!open()) return false;
  if (!write_at(file_.get(), bytes, size, kBegin + static_cast<off_t>(end_))) {
    const int error = errno;
    [[maybe_unused]] const int cut = ::ftruncate(file_.get(), kBegin + static_cast<off_t>(end_));
    errno = error;
    return false;
  }
  end_ += size;
  return true;
}

bool Spool::prepend(const char* bytes, std::size_t size) {
  return size == 0 || rewrite(bytes, size);
}

// Where a file is written that is to take this one's place.
bool Spool::replacement(char (&path)[1024]) const {
  const int size = std::snprintf(path, sizeof path, "%s.new", path_);
  if (size >= 0 && size < static_cast<int>(sizeof path)) return true;
  errno = ENAMETOOLONG;
  return false;
}

// The file anew: `before`, then what is pending. Whoever is killed up to the rename leaves the old
// file, with all that it tells, and from there on the new one. False (errno): the old one stays.
bool Spool::rewrite(const char* before, std::size_t size) {
  char path[1024];
  if (!replacement(path)) return false;
  Spool whole{path};
  const auto broken_off = [&path] {
    const int error = errno;
    ::unlink(path);
    errno = error;
    return false;
  };
  if (!whole.append(before, size)) return broken_off();
  std::array<char, 8192> buffer;
  std::uint64_t at = delivered_;
  while (at < end_) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), end_ - at);
    const ssize_t got =
        ::pread(file_.get(), buffer.data(), wanted, kBegin + static_cast<off_t>(at));
    if (got <= 0 || !whole.append(buffer.data(), static_cast<std::size_t>(got))) {
      return broken_off();
    }
    at += static_cast<std::uint64_t>(got);
  }
  if (::rename(path, path_) != 0) return broken_off();
  file_ = std::move(whole.file_);
  delivered_ = 0;
  end_ = whole.end_;
  rewrite_at_ = kRewrite;
  return true;
}

std::size_t Spool::peek(char* bytes, std::size_t size) const {
  if (pending() == 0) return 0;
  const std::size_t wanted = std::min<std::uint64_t>(size, pending());
  const ssize_t got = ::pread(file_.get(), bytes, wanted, kBegin + static_cast<off_t>(delivered_));
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

void Spool::consume(std::size_t size) {
  delivered_ += std::min<std::uint64_t>(size, pending());
  if (pending() == 0 && ::ftruncate(file_.get(), kBegin) == 0) {
    delivered_ = end_ = 0;
    rewrite_at_ = kRewrite;
    // Behind a position that tells of more than there is, what comes next would count as delivered.
    if (!save_position()) drop();
    return;
  }
  save_position();  // where it cannot be, a successor repeats what it would skip
  // A collector that reads, but lags, may never have it all: without this the file would grow for
  // as long as the task runs. No more is copied than has been delivered since the last time, so
  // that it costs the same for each byte. A disk without room for the copy is not asked again
  // before as much more is delivered.
  if (delivered_ < rewrite_at_ || delivered_ < pending()) return;
  if (!rewrite(nullptr, 0)) rewrite_at_ = delivered_ + std::max(pending(), kRewrite);
}

}  // namespace ndc::runtime
