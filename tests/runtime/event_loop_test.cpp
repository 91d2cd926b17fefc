#include <chrono>
#include <thread>
#include <vector>

#include "runtime/machine.hpp"

using namespace ndc;
using namespace ndc::test;
using runtime::EventLoop;
using std::chrono::milliseconds;

TEST_CASE("posted tasks run in order on the loop thread") {
  const LeakCheck leaks;
  EventLoop loop;
  const Awaited<std::vector<int>> seen;
  auto order = std::make_shared<std::vector<int>>();
  for (int i = 0; i < 100; ++i) {
    REQUIRE(loop.post([&loop, order, i] {
      if (loop.on_loop_thread()) order->push_back(i);
    }));
  }
  loop.post([seen, order] { seen.set(*order); });
  const auto got = seen.get();
  REQUIRE(got.size() == 100);
  CHECK(std::is_sorted(got.begin(), got.end()));
  CHECK_FALSE(loop.on_loop_thread());
}

TEST_CASE("a timer fires once and not before its time") {
  const LeakCheck leaks;
  EventLoop loop;
  const Awaited<std::chrono::steady_clock::duration> fired;
  std::shared_ptr<EventLoop::Timer> timer;
  loop.post([&] {
    const auto start = std::chrono::steady_clock::now();
    timer = loop.after(milliseconds{30},
                       [fired, start] { fired.set(std::chrono::steady_clock::now() - start); });
  });
  CHECK(fired.get() >= milliseconds{29});
  settle(loop);
  CHECK(fired.times() == 1);
}

TEST_CASE("a timer that was let go does not fire and frees what it holds") {
  const LeakCheck leaks;
  EventLoop loop;
  auto held = std::make_shared<int>(1);
  const Awaited<bool> later;
  std::shared_ptr<EventLoop::Timer> second;
  loop.post([&loop, &second, held, later]() mutable {
    auto timer = loop.after(milliseconds{1}, [held] { FAIL("fired"); });
    timer.reset();
    second = loop.after(milliseconds{20}, [later] { later.set(true); });
  });
  later.get();
  settle(loop);
  CHECK(held.use_count() == 1);
}

TEST_CASE("a loop that ends drops timers and late tasks without running them") {
  const LeakCheck leaks;
  auto held = std::make_shared<int>(1);
  auto loop = std::make_unique<EventLoop>();
  const EventLoop::Poster post = loop->poster();
  auto timer = std::make_shared<std::shared_ptr<EventLoop::Timer>>();
  const Awaited<bool> armed;
  loop->post([&, timer, held] {
    *timer = loop->after(std::chrono::hours{1}, [held, timer] { FAIL("fired"); });
    armed.set(true);
  });
  armed.get();
  loop.reset();
  CHECK_FALSE(post([held] { FAIL("ran"); }));
  timer->reset();
  CHECK(held.use_count() == 1);
}

TEST_CASE("a loop that one of its own callbacks lets go of last ends, too") {
  const LeakCheck leaks;
  const auto before = open_descriptors();
  auto loop = runtime::released_anywhere(std::make_shared<EventLoop>());
  const EventLoop::Poster post = loop->poster();
  const Awaited<bool> released;
  loop->post([loop, released]() mutable {
    loop.reset();
    released.set(true);
  });
  loop.reset();
  released.get();
  CHECK(eventually([&] { return !post([] {}); }));
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE("a loop that ends leaves a running child alone") {
  const LeakCheck leaks;
  auto loop = std::make_unique<EventLoop>();
  TemporaryDirectory directory;
  const std::string pid_file = directory / "pid";
  auto command = shell("echo $$ > '" + pid_file + ".new'; mv '" + pid_file + ".new' '" + pid_file +
                       "'; exec sleep 60");
  command.timeout = std::chrono::seconds{60};
  runtime::run_command(*loop, command, [](auto) { FAIL("no answer was due"); });
  // Its end is not ours to see, so another child waits for the file.
  REQUIRE(run(*loop, shell("until [ -f '" + pid_file + "' ]; do :; done; cat '" + pid_file + "'")));
  const auto pid_text = run(*loop, shell("cat '" + pid_file + "'"));
  loop.reset();
  const pid_t pid = std::stoi(pid_text->out);
  CHECK(::kill(pid, 0) == 0);
  CHECK(::kill(pid, SIGKILL) == 0);
  CHECK(::waitpid(pid, nullptr, 0) == pid);
}
