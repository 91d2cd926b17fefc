// The adapter over the stand-in: output that waits for its collector when monitor or task have
// ended.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "cli/apple_node.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/unique_fd.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

// The monitor's program; while there is a file "broken" it cannot begin, and notes each try.
std::string fragile_monitor(const Node& node) {
  std::string path = node.directory / "monitor";
  std::ofstream{path} << "#!/bin/sh\n"
                      << "if [ -e " << node.directory / "broken"
                      << " ]; then\n"
                      << "  echo >> " << node.directory / "tries"
                      << "\n"
                      << "  echo no room >&2\n"
                      << "  exit 1\n"
                      << "fi\n"
                      << "exec " << places::test_monitor << " \"$@\"\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

}  // namespace

namespace {

// A task whose output nobody collects: what its FIFO does not hold waits in the spool.
class Uncollected {
 public:
  explicit Uncollected(Node& node) : node_{node} {
    node.spec->stdout_path = node.directory / "out";
    REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
    for (int line = 1; line <= 100'000; ++line) written_ += std::to_string(line) + "\n";
    const auto started = node.start("seq 1 100000; sleep 30", exited_);
    REQUIRE(started);
    container_ = started->container;
    const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
    REQUIRE(route);
    route_ = *route;
    route_->follow(container_, {});
    REQUIRE(eventually([&] {
      const auto waiting = Spool::pending_in((node.files() + "/spool.out").c_str());
      return waiting + bytes_in_fifo(node.spec->stdout_path) == written_.size();
    }));
  }
  const ContainerRef& container() const { return container_; }

  // Whether a collector that comes now gets it all.
  bool arrives() const {
    const UniqueFd collector{
        ::open(node_.spec->stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    std::string text;
    const bool whole = eventually([&] {
      char buffer[kFifo];
      const ssize_t got = ::read(collector.get(), buffer, sizeof buffer);
      if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
      return text.size() >= written_.size();
    });
    return whole && text == written_;
  }

 private:
  static constexpr std::size_t kFifo = 64 * 1024;  // what the FIFO may hold of it

  Node& node_;
  std::string written_;
  Awaited<TaskExit> exited_;
  ContainerRef container_;
  std::shared_ptr<LogRoute> route_;
};

}  // namespace

TEST_CASE(
    "what a killed monitor had not delivered reaches the log without a restart of the plugin") {
  Node node;
  const Uncollected task{node};
  node.kill_monitor();
  CHECK(task.arrives());
  CHECK(node.remove(task.container()));
}

TEST_CASE("who is to deliver a killed monitor's output, and cannot be started, is started again") {
  Node node;
  node.runtime = *make_apple(node.config, node.loop, fragile_monitor(node), 15s, node.login_dir);
  const Uncollected task{node};
  const std::string broken = node.directory / "broken";
  { const std::ofstream made{broken}; }
  node.kill_monitor();
  REQUIRE(eventually([&] { return std::filesystem::exists(node.directory / "tries"); }));
  std::filesystem::remove(broken);
  CHECK(task.arrives());
  CHECK(node.remove(task.container()));
}

TEST_CASE("output that nobody can be started for is told to the task's user") {
  std::mutex mutex;
  std::string told;
  Node node;
  node.runtime = *make_apple(node.config, node.loop, fragile_monitor(node), 15s, node.login_dir);
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
  REQUIRE(route);
  (*route)->follow(started->container, [&](const Error& error) {
    const std::lock_guard lock{mutex};
    told += error.message() + "\n";
  });
  REQUIRE(eventually([&] { return has_spooled(node.files()); }));
  { const std::ofstream made{node.directory / "broken"}; }
  node.kill_monitor();
  CHECK(eventually(
      [&] {
        const std::lock_guard lock{mutex};
        return contains(told, " bytes wait for Nomad's log collector") &&
               contains(told, "(no room)");
      },
      kLong));
  CHECK(std::filesystem::file_size(node.directory / "tries") == 4);  // bounded
  CHECK(has_spooled(node.files()));
  CHECK(node.remove(started->container));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a spool that was damaged is not delivered, and the task's user is told what is lost") {
  std::mutex mutex;
  std::string told;
  Node node;
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  REQUIRE(eventually([&] { return has_spooled(node.files()); }));
  node.kill_monitor();
  REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
  const std::string spool = node.files() + "/spool.out";
  std::fstream{spool, std::ios::in | std::ios::out | std::ios::binary} << "bad";
  CHECK(damaged_spools(node.files()) == "spool.out");
  const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
  REQUIRE(route);
  (*route)->follow(started->container, [&](const Error& error) {
    const std::lock_guard lock{mutex};
    told += error.message() + "\n";
  });
  CHECK(eventually([&] {
    const std::lock_guard lock{mutex};
    return contains(told, "spool.out: damaged") && contains(told, "is lost");
  }));
  CHECK(spooled(node.files()) == 0);
  CHECK(node.remove(started->container));
}

TEST_CASE("a task that is removed by force keeps its output until the collector has it") {
  Node node;
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  std::string want;
  for (int line = 1; line <= 100'000; ++line) want += std::to_string(line) + "\n";
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  constexpr std::size_t kFifo = 64 * 1024;  // what the FIFO may hold of it
  REQUIRE(eventually([&] {
    const auto waiting = Spool::pending_in((node.files() + "/spool.out").c_str());
    return waiting + bytes_in_fifo(node.spec->stdout_path) == want.size();
  }));
  const Awaited<bool> removed;
  node.runtime->remove(started->container, false, [removed](const Expected<void>& result) {
    removed.set(result.has_value());
  });
  exited.get(kLong);  // told without waiting for the collector
  std::this_thread::sleep_for(200ms);
  CHECK(!removed.is_set());
  const UniqueFd collector{
      ::open(node.spec->stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  std::string text;
  CHECK(eventually([&] {
    char buffer[kFifo];
    const ssize_t got = ::read(collector.get(), buffer, sizeof buffer);
    if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    return text.size() >= want.size();
  }));
  CHECK((text == want));  // too long to be shown
  CHECK(removed.get(kLong));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a collector that takes nothing does not keep a task that was removed by force") {
  Node node;
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  REQUIRE(eventually([&] { return has_spooled(node.files()); }));
  CHECK(node.remove(started->container));
  CHECK(exited.is_set());
  CHECK(!std::filesystem::exists(node.files()));
}
