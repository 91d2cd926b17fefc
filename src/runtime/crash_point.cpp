#include "runtime/crash_point.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ndc {
namespace {

std::array<std::atomic<int>, std::size(kCrashPoints)> reached;

// One after the other: a test that lets the process go on must not lose the stop of another thread.
std::atomic_flag stopping = ATOMIC_FLAG_INIT;

// False where the armed point was reached before, by whatever process: one death a test.
bool note(const char* name, bool once) {
  const char* path = std::getenv(kCrashLog);
  if (path == nullptr) return true;
  const int exclusive = once ? O_EXCL : 0;
  const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | exclusive, 0600);
  if (file < 0 && errno == EEXIST) return false;
  char line[128];
  const int size = std::snprintf(line, sizeof line, "%d %s\n", static_cast<int>(::getpid()), name);
  if (file < 0 || ::write(file, line, static_cast<std::size_t>(size)) != size) std::abort();
  ::close(file);
  return true;
}

}  // namespace

void crash_point(CrashPoint point) {
  const char* armed = std::getenv(kCrashAt);
  if (armed == nullptr) return;
  const char* name = kCrashPoints[point.index()];
  char wanted[64] = {};
  char action[8] = {};
  int occurrence = 0;
  if (std::sscanf(armed, "%63s %d %7s", wanted, &occurrence, action) != 3) std::abort();
  const bool each = std::strcmp(wanted, "*") == 0;
  if (!each && std::strcmp(wanted, name) != 0) return;
  const int count = ++reached[point.index()];
  if (each ? count > occurrence : count != occurrence) return;
  while (stopping.test_and_set()) ::usleep(1000);
  // To this thread, which does not return before it has taken effect on them all.
  if (note(name, !each)) ::raise(std::strcmp(action, "kill") == 0 ? SIGKILL : SIGSTOP);
  stopping.clear();
}

}  // namespace ndc
