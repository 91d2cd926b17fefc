#include "rpc/host_watch.hpp"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

namespace ndc::rpc {
namespace {

// On macOS poll() tells nobody that a pipe's reader has gone who asks for nothing else, so the
// parent is looked at, too.
constexpr int kLookInterval = 1000;  // ms

// A dying process closes its files before its children get a new parent; and one that has closed
// only the pipe may live on.
constexpr std::chrono::milliseconds kAfterReader{100};

}  // namespace

void stop_when_abandoned(std::shared_ptr<const HostWatch> watch,
                         std::shared_ptr<Stopping> stopping) {
  const pid_t parent = ::getppid();
  std::thread{[watch = std::move(watch), stopping = std::move(stopping), parent] {
    while (!watch->in_use()) {
      if (::getppid() != parent) {
        if (!watch->in_use()) stopping->ask();  // a later client may have come just now
        return;
      }
      // The client holds the other end of stderr for as long as it lives.
      pollfd err{STDERR_FILENO, 0, 0};
      if (::poll(&err, 1, kLookInterval) > 0) std::this_thread::sleep_for(kAfterReader);
    }
  }}.detach();
}

}  // namespace ndc::rpc
