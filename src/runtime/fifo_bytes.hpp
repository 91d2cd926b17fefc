// Whether a FIFO still holds what was written to it. Plain calls: part of the monitor too.
#pragma once

#include <poll.h>
#include <sys/stat.h>

namespace ndc::runtime {

// `fd` is open for reading and writing: with a writer of its own, readable means bytes and never
// the end. False for everything but a FIFO: /dev/null is always readable. Not by FIONREAD, to which
// macOS answers 0 for every descriptor that is open for both.
inline bool fifo_holds_bytes(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISFIFO(info.st_mode)) return false;
  pollfd look{fd, POLLIN, 0};
  return ::poll(&look, 1, 0) == 1 && (look.revents & POLLIN) != 0;
}

}  // namespace ndc::runtime
