// The adapter over the stand-in: what the next plugin, or the next monitor, makes of a task.
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <variant>

#include "cli/apple_node.hpp"
#include "runtime/apple_files.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

TEST_CASE("a monitor that was killed does not end the task") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.kill_monitor();
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  CHECK(std::holds_alternative<StillRunning>(*attached));
  CHECK(node.call([&](Done<void> done) { node.runtime->stop(started->container, done); }));
  CHECK(std::holds_alternative<UnknownExit>(later.get(kLong).status));
  CHECK(node.remove(started->container));
}

TEST_CASE("recovery finds the exit that happened meanwhile, also while the engine hangs") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 42", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{42}});
  node.restart();
  node.fault("all", "hang");
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  REQUIRE(std::holds_alternative<TaskExit>(*attached));
  CHECK(std::get<TaskExit>(*attached).status == ExitStatus{Exited{42}});
  node.fault("all", "");
  CHECK(node.remove(started->container));
  CHECK(node.remove(started->container));  // again: nothing to do
}

// UBSan looks with a pipe whether an object can be read: without descriptors all are bad to it.
#ifndef __SANITIZE_ADDRESS__

TEST_CASE("recovery without a free descriptor waits for one and finds the exit then") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 42", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{42}});
  node.restart();
  const Awaited<TaskExit> later;
  const auto attaching = [&] {
    const NoDescriptors none;
    auto begun = node.begin_attach(started->container, later);
    std::this_thread::sleep_for(500ms);  // it looks in vain more than once
    CHECK(!begun.is_set());
    return begun;
  }();
  const Expected<Attached> answer = attaching.get(kLong);
  REQUIRE(answer);
  REQUIRE(std::holds_alternative<TaskExit>(*answer));
  CHECK(std::get<TaskExit>(*answer).status == ExitStatus{Exited{42}});
  CHECK(node.remove(started->container));
}
#endif

// As it may be when the monitor wrote it in the moment in which it was looked for in vain.

TEST_CASE("a record that is seen late counts, though the monitor was given up") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.kill_monitor();
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  REQUIRE(std::holds_alternative<StillRunning>(*attached));
  REQUIRE(write_exit_record(node.files().c_str(), {ExitRecord::Kind::kExited, 7, 1, ""}));
  CHECK(node.call([&](Done<void> done) { node.runtime->stop(started->container, done); }));
  CHECK(later.get(kLong).status == ExitStatus{Exited{7}});
  CHECK(node.remove(started->container));
}

// A cleaner of /tmp may take the socket away.

TEST_CASE("a monitor that is not reached for long is not given up, and its record is read") {
  Node node;
  const Awaited<TaskExit> exited;
  const std::string go = node.directory / "go";
  const auto started = node.start("until [ -e " + go + " ]; do sleep 0.1; done; exit 7", exited);
  REQUIRE(started);
  const AppleFiles files{node.config.state_dir, node.id};
  REQUIRE(::unlink(files.socket().c_str()) == 0);
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  CHECK(std::holds_alternative<StillRunning>(*attached));
  { const std::ofstream made{go}; }
  CHECK(later.get(kLong).status == ExitStatus{Exited{7}});
  CHECK(node.remove(started->container));
}
