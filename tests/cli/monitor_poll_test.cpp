// The monitor's poll(): what it makes of signals and failures.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "runtime/machine.hpp"
#include "runtime/monitor_poll.hpp"
#include "runtime/unique_fd.hpp"

using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

void nothing(int) {}

}  // namespace

TEST_CASE("the monitor's poll tells what is ready") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const UniqueFd reader{ends[0]};
  const UniqueFd writer{ends[1]};
  pollfd fds[2] = {{reader.get(), POLLIN, 0}, {-1, POLLIN, 0}};
  CHECK(poll_or_pause(fds, 2, 0) == 0);
  CHECK(fds[0].revents == 0);
  REQUIRE(::write(writer.get(), "x", 1) == 1);
  CHECK(poll_or_pause(fds, 2, 10'000) == 1);
  CHECK(fds[0].revents == POLLIN);
}

TEST_CASE("a signal ends the monitor's poll with nothing ready") {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = nothing;
  REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
  pollfd none{-1, POLLIN, POLLIN};
  std::atomic<bool> over{false};
  std::thread pester{[&over, poller = ::pthread_self()] {
    // Again and again: the first may come before the poll.
    while (!over) {
      ::pthread_kill(poller, SIGUSR1);
      std::this_thread::yield();
    }
  }};
  const auto begun = std::chrono::steady_clock::now();
  const int ready = poll_or_pause(&none, 1, 20'000);
  const auto taken = std::chrono::steady_clock::now() - begun;
  over = true;
  pester.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  CHECK(taken < 10s);
  CHECK(ready == 0);
  CHECK(none.revents == 0);
}

// UBSan looks with a pipe whether an object can be read: without descriptors all are bad to it.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a poll that fails pauses and leaves nothing ready") {
  // More than a process may have, on every system: EINVAL, which stands for a want of memory here.
  std::vector<pollfd> fds(20'000, pollfd{-1, POLLIN, POLLIN});
  const auto before = std::chrono::steady_clock::now();
  const int ready = [&] {
    const NoDescriptors no_more;
    return poll_or_pause(fds.data(), static_cast<nfds_t>(fds.size()), 0);
  }();
  CHECK(ready == -1);
  CHECK(std::chrono::steady_clock::now() - before >= 10ms);
  for (const pollfd& fd : fds) {
    if (fd.revents != 0) FAIL("something is ready");
  }
}
#endif
