#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "runtime/fifo_bytes.hpp"
#include "runtime/k8s_log.hpp"
#include "runtime/log_pump.hpp"
#include "runtime/log_route.hpp"
#include "runtime/machine.hpp"

using namespace ndc;
using namespace ndc::test;
using runtime::EventLoop;
using runtime::LogPaths;
using runtime::UniqueFd;

namespace {

constexpr const char* kTime = "2024-05-01T10:00:00.123456789+00:00";

std::string full(const std::string& text) {
  return std::string{kTime} + " stdout F " + text + "\n";
}
std::string part(const std::string& text) {
  return std::string{kTime} + " stdout P " + text + "\n";
}

// The collector's side: two FIFOs, read in time or not.
struct Collector {
  TemporaryDirectory directory;
  LogPaths paths{directory / "out.fifo", directory / "err.fifo"};
  UniqueFd reader;

  Collector() {
    REQUIRE(::mkfifo(paths.stdout_path.c_str(), 0600) == 0);
    REQUIRE(::mkfifo(paths.stderr_path.c_str(), 0600) == 0);
  }
  void open_reader() {
    reader = UniqueFd{::open(paths.stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  }
  // Reads until `size` bytes are there or the stream ends.
  std::string read(std::size_t size = SIZE_MAX) const {
    std::string out;
    while (out.size() < size) {
      pollfd waiting{reader.get(), POLLIN, 0};
      REQUIRE(::poll(&waiting, 1, 60'000) == 1);
      char buffer[4096];
      const ssize_t count =
          ::read(reader.get(), buffer, std::min(sizeof buffer, size - out.size()));
      if (count == 0) break;
      REQUIRE(count > 0);
      out.append(buffer, static_cast<std::size_t>(count));
    }
    return out;
  }
};

struct LogFile {
  std::string path;
  void append(const std::string& text) const {
    std::ofstream{path, std::ios::app} << text << std::flush;
  }
  ContainerRef container() const { return {"c", "1", {{"log_path", path}}}; }
};

void finish(const std::shared_ptr<runtime::LogRoute>& route) {
  const Awaited<bool> drained;
  route->finish([drained] { drained.set(true); });
  drained.get();
}

}  // namespace

TEST_CASE("full lines get their newline back and partial ones stay joined") {
  const auto log = full("one\r") + part("tw") + full("o") + full("");
  const auto decoded = runtime::decode_k8s_log(log + "2024-05", false);
  CHECK(decoded.text == "one\r\ntwo\n\n");
  CHECK(decoded.consumed == log.size());
  REQUIRE(decoded.records.size() == 4);
  CHECK(decoded.records[0].log == full("one\r").size());
  CHECK(decoded.records[0].text == 5);
}

TEST_CASE("a line that is no record is passed through") {
  CHECK(runtime::decode_k8s_log("what is this\n" + full("x"), false).text == "what is this\nx\n");
  CHECK(runtime::decode_k8s_log(std::string{kTime} + " stdout F \n\n", false).text == "\n\n");
}

TEST_CASE("an unfinished last record is delivered at the end only") {
  const std::string cut = std::string{kTime} + " stdout F half";
  CHECK(runtime::decode_k8s_log(cut, false).text.empty());
  CHECK(runtime::decode_k8s_log(cut, true).text == "half");
}

TEST_CASE("a direct route opens without a reader, keeps the FIFO open and ends it") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  auto route = runtime::open_direct_route(loop, collector.paths);
  REQUIRE(route);
  auto command = shell("echo hello; echo oops >&2");
  command.out = runtime::Stdio::descriptor([&] { return (*route)->stdout_fd(); });
  command.err = runtime::Stdio::descriptor([&] { return (*route)->stderr_fd(); });
  REQUIRE(run(loop, std::move(command)));
  collector.open_reader();
  CHECK(collector.read(6) == "hello\n");
  (*route)->finish({});  // nobody reads the other stream
  CHECK(collector.read().empty());
  CHECK((*route)->stdout_fd() == nullptr);
}

TEST_CASE("a direct route is at its end when the collector has all and sees no writer any more") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  auto route = runtime::open_direct_route(loop, collector.paths).value();
  collector.open_reader();
  auto command = shell("echo hello");
  command.out = runtime::Stdio::descriptor([&] { return route->stdout_fd(); });
  REQUIRE(run(loop, std::move(command)));
  const Awaited<bool> drained;
  route->finish([drained] { drained.set(true); });
  settle(loop);
  CHECK(drained.times() == 0);
  CHECK(collector.read(6) == "hello\n");
  drained.get();
  char byte = 0;
  CHECK(::read(collector.reader.get(), &byte, 1) == 0);
}

TEST_CASE("a route has no end of the FIFOs open before there is use for one") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  collector.open_reader();
  const auto writers = [&] {  // an empty FIFO reads as its end without any, and not yet with some
    char byte = 0;
    return ::read(collector.reader.get(), &byte, 1) != 0;
  };
  for (const bool pumped : {false, true}) {
    std::shared_ptr<runtime::FifoRoute> route;
    if (pumped) {
      route = runtime::open_pumped_route(loop, collector.paths).value();
    } else {
      route = runtime::open_direct_route(loop, collector.paths).value();
    }
    CHECK_FALSE(writers());
    route->hold();
    CHECK(writers());
    finish(route);
    CHECK_FALSE(writers());
  }
}

// The collector was killed, and the task ended before its successor came.
TEST_CASE("what the collector has not read at the end waits for it") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  auto route = runtime::open_direct_route(loop, collector.paths);
  REQUIRE(route);
  auto command = shell("echo hello; echo oops >&2");
  command.out = runtime::Stdio::descriptor([&] { return (*route)->stdout_fd(); });
  command.err = runtime::Stdio::descriptor([&] { return (*route)->stderr_fd(); });
  REQUIRE(run(loop, std::move(command)));
  (*route)->finish({});
  settle(loop);
  SECTION("while the task is there") {
    collector.open_reader();
    CHECK(collector.read() == "hello\n");
  }
  SECTION("and a moment longer") {
    route->reset();
    settle(loop);
    collector.open_reader();
    CHECK(collector.read() == "hello\n");
  }
}

TEST_CASE("a FIFO that is open for both says whether it holds bytes, /dev/null never does") {
  const Collector collector;
  const UniqueFd both{::open(collector.paths.stdout_path.c_str(), O_RDWR | O_CLOEXEC)};
  const UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  CHECK(!runtime::fifo_holds_bytes(both.get()));
  REQUIRE(::write(both.get(), "x", 1) == 1);
  CHECK(runtime::fifo_holds_bytes(both.get()));
  char byte = 0;
  REQUIRE(::read(both.get(), &byte, 1) == 1);
  CHECK(!runtime::fifo_holds_bytes(both.get()));
  CHECK(!runtime::fifo_holds_bytes(null.get()));
}

TEST_CASE("a direct route hands over a blocking descriptor") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  auto route = runtime::open_direct_route(loop, collector.paths);
  REQUIRE(route);
  CHECK((::fcntl((*route)->stdout_fd()->get(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK((::fcntl((*route)->stdout_fd()->get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("/dev/null is a valid end of a route, a plain file, a link or nothing is not") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  CHECK(runtime::open_direct_route(loop, {"/dev/null", "/dev/null"}));
  CHECK(runtime::open_pumped_route(loop, {"/dev/null", "/dev/null"}));
  const std::string file = collector.directory / "file";
  std::ofstream{file} << "x";
  const std::string link = collector.directory / "link";
  REQUIRE(::symlink(collector.paths.stdout_path.c_str(), link.c_str()) == 0);
  for (const std::string& path : {file, link, collector.directory / "missing"}) {
    const auto route = runtime::open_direct_route(loop, {path, "/dev/null"});
    REQUIRE_FALSE(route);
    CHECK(route.error().on == path);
  }
}

TEST_CASE("a pumped route copies what is there and what comes, to the end") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  log.append(full("one"));
  auto route = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(route);
  collector.open_reader();
  (*route)->follow(log.container(), [](const Error& error) { FAIL(error.message()); });
  CHECK(collector.read(4) == "one\n");
  log.append(part("tw") + full("o"));
  CHECK(collector.read(4) == "two\n");
  log.append(full("three") + std::string{kTime} + " stdout P last");
  (*route)->finish({});
  CHECK(collector.read() == "three\nlast");
}

#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a route that finds no descriptors begins when there are some") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  log.append(full("one"));
  auto route = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(route);
  collector.open_reader();
  {
    const NoDescriptors none;
    (*route)->follow(log.container(), [](const Error& error) { FAIL(error.message()); });
    settle(loop);
  }
  CHECK(collector.read(4) == "one\n");
  finish(*route);
}
#endif

TEST_CASE("a pumped route waits for a log that does not exist yet") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  auto route = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(route);
  collector.open_reader();
  (*route)->follow(log.container(), [](const Error& error) { FAIL(error.message()); });
  settle(loop);
  log.append(full("late"));
  CHECK(collector.read(5) == "late\n");
  log.append(full("later"));
  CHECK(collector.read(6) == "later\n");
  finish(*route);
}

TEST_CASE("a pumped route never blocks the loop and loses nothing to a slow collector") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  std::string text;
  std::string expected;
  for (int i = 0; i < 60000; ++i) {
    text += full("line " + std::to_string(i));
    expected += "line " + std::to_string(i) + "\n";
  }
  log.append(text);
  auto route = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(route);
  (*route)->follow(log.container(), [](const Error& error) { FAIL(error.message()); });
  settle(loop);  // nobody reads, yet the loop answers
  collector.open_reader();
  const Awaited<bool> drained;
  (*route)->finish([drained] { drained.set(true); });
  CHECK(collector.read() == expected);
  drained.get();
}

TEST_CASE("a successor continues exactly where a pump stopped, also within a record") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  const std::string big(100000, 'x');  // more than a FIFO holds
  log.append(full("first") + full(big));
  collector.open_reader();
  std::string got;
  {
    auto route = runtime::open_pumped_route(loop, collector.paths);
    REQUIRE(route);
    (*route)->follow(log.container(), [](const Error& error) { FAIL(error.message()); });
    settle(loop);
    got = collector.read(1000);
  }
  settle(loop);
  log.append(full("last"));
  auto route = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(route);
  (*route)->follow(log.container(), [](const Error& error) { FAIL(error.message()); });
  const Awaited<bool> drained;
  (*route)->finish([drained] { drained.set(true); });
  got += collector.read();
  drained.get();
  CHECK(got == "first\n" + big + "\nlast\n");
}

// The route of a log forwarder that failed stays with the task until the successor's is there.
TEST_CASE("two pumps of one log never copy at the same time, and repeat nothing") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  const std::string big(100000, 'x');  // more than a FIFO holds: the first is in the midst of it
  log.append(full("first") + full(big));
  const auto fail_on = [](const Error& error) { FAIL(error.message()); };
  auto first = runtime::open_pumped_route(loop, collector.paths).value();
  first->follow(log.container(), fail_on);
  settle(loop);
  auto second = runtime::open_pumped_route(loop, collector.paths).value();
  second->follow(log.container(), fail_on);
  settle(loop);
  collector.open_reader();
  const std::string expected = "first\n" + big + "\n";
  SECTION("the second goes on when the first stops") {
    CHECK(collector.read(expected.size()) == expected);
    log.append(full("while both are there"));
    CHECK(collector.read(21) == "while both are there\n");
    settle(loop);
    char byte = 0;
    CHECK(::read(collector.reader.get(), &byte, 1) == -1);
    first.reset();
    settle(loop);
    log.append(full("last"));
    CHECK(collector.read(5) == "last\n");
    finish(second);
    CHECK(collector.read().empty());
  }
  SECTION("also when the task has ended meanwhile") {
    const Awaited<bool> drained;
    second->finish([drained] { drained.set(true); });
    settle(loop);
    CHECK_FALSE(drained.is_set());
    first.reset();
    CHECK(collector.read() == expected);
    drained.get();
  }
  SECTION("and one that never gets its turn does not hold up the task's end") {
    const std::string got = collector.read(expected.size());
    finish(second);
    CHECK(got == expected);
  }
}

TEST_CASE("a log that was replaced by a new one is followed from the new one's start") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  const LogFile next{collector.directory / "next.log"};
  log.append(full("old"));
  auto route = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(route);
  collector.open_reader();
  (*route)->follow(log.container(), [](const Error& error) { FAIL(error.message()); });
  CHECK(collector.read(4) == "old\n");
  next.append(full("new"));
  std::filesystem::rename(next.path, log.path);
  CHECK(collector.read(4) == "new\n");
  log.append(full("newer"));
  CHECK(collector.read(6) == "newer\n");
  finish(*route);
}

TEST_CASE("finishing gives up on a collector that reads nothing") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  log.append(full(std::string(200000, 'x')));
  auto route = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(route);
  (*route)->follow(log.container(), {});
  finish(*route);
}

TEST_CASE("a route that was never followed, or cannot be, still finishes") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  auto idle = runtime::open_pumped_route(loop, collector.paths);
  REQUIRE(idle);
  finish(*idle);
  for (const ContainerRef& container :
       {ContainerRef{"c", "1", {}}, LogFile{"/nowhere/ctr.log"}.container()}) {
    auto route = runtime::open_pumped_route(loop, collector.paths);
    REQUIRE(route);
    const Awaited<Error> failed;
    (*route)->follow(container, [failed](Error error) { failed.set(std::move(error)); });
    CHECK(failed.get().what == "copy the log");
    finish(*route);
    CHECK(failed.times() == 1);
  }
}

TEST_CASE("who asks a second time for the end of a pumped log waits for it, too") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  const LogFile log{collector.directory / "ctr.log"};
  const std::string big(200000, 'x');  // more than a FIFO holds
  log.append(full(big));
  collector.open_reader();
  auto sink = std::make_shared<UniqueFd>(
      ::open(collector.paths.stdout_path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(*sink);
  const auto pump = std::make_shared<runtime::LogPump>(loop);
  const Awaited<bool> first;
  const Awaited<bool> second;
  loop.post([pump, path = log.path, sink = std::move(sink), first, second]() mutable {
    pump->follow(path, std::move(sink), [](const Error& error) { FAIL(error.message()); });
    pump->finish([first] { first.set(true); });
    pump->finish([second] { second.set(true); });
  });
  settle(loop);
  CHECK(second.times() == 0);
  CHECK(collector.read() == big + "\n");
  CHECK(first.get());
  CHECK(second.get());
}

TEST_CASE("of a direct route as well") {
  const LeakCheck leaks;
  EventLoop loop;
  Collector collector;
  auto route = runtime::open_direct_route(loop, collector.paths).value();
  collector.open_reader();
  auto command = shell("echo hello");
  command.out = runtime::Stdio::descriptor([&] { return route->stdout_fd(); });
  REQUIRE(run(loop, std::move(command)));
  const Awaited<bool> second;
  route->finish({});
  route->finish([second] { second.set(true); });
  settle(loop);
  CHECK(second.times() == 0);
  CHECK(collector.read(6) == "hello\n");
  second.get();
  finish(route);
}
