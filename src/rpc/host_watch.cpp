#include "rpc/host_watch.hpp"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

namespace ndc::rpc {
namespace {

// A dying process closes its files before its children get a new parent.
constexpr int kLooks = 50;
constexpr std::chrono::milliseconds kBetweenLooks{100};

// The client holds the other end of stderr for as long as it lives.
void wait_for_reader_to_go() {
  pollfd err{STDERR_FILENO, 0, 0};
  while (::poll(&err, 1, -1) < 0) {
  }
}

}  // namespace

void stop_when_abandoned(std::shared_ptr<const HostWatch> watch,
                         std::shared_ptr<Stopping> stopping) {
  const pid_t parent = ::getppid();
  std::thread{[watch = std::move(watch), stopping = std::move(stopping), parent] {
    wait_for_reader_to_go();
    // It may also have closed only the pipe.
    for (int look = 0; look < kLooks && !watch->in_use(); ++look) {
      if (::getppid() != parent) {
        if (!watch->in_use()) stopping->ask();
        return;
      }
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }}.detach();
}

}  // namespace ndc::rpc
