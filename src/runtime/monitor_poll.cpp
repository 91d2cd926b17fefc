#include "runtime/monitor_poll.hpp"

#include <cerrno>
#include <ctime>

namespace ndc::runtime {
namespace {

constexpr long kPause = 20'000'000;  // ns

}  // namespace

int poll_or_pause(pollfd* fds, nfds_t count, int timeout_ms) {
  const int ready = ::poll(fds, count, timeout_ms);
  if (ready >= 0) return ready;
  const int error = errno;
  for (nfds_t i = 0; i < count; ++i) fds[i].revents = 0;  // it is not said that they are set
  if (error == EINTR) return 0;
  // ENOMEM on Linux, EAGAIN on macOS: the kernel has no memory at the moment.
  const timespec pause{0, kPause};
  ::nanosleep(&pause, nullptr);
  errno = error;
  return -1;
}

}  // namespace ndc::runtime
