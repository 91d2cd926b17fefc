// A task's children crash: its log is finished and its end told in time all the same.

#include "actors/fixture.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

// With a pumped log, whose end somebody has to wait for, or a direct one.
TaskSpec with_tty(bool tty) {
  TaskSpec task = Fixture::spec();
  std::get<Value::Map>(task.config.data)["tty"] = Value{tty};
  return task;
}

void crash_often(Fixture& f, const char* child) {
  for (int i = 0; i < 4; ++i) {
    CHECK(f.crash(child, Fixture::spec().id) == 1);
    f.kit.run();
  }
  CHECK(f.crash(child, Fixture::spec().id) == 0);
}

TEST_CASE("a log forwarder that crashes while it drains is followed by one that drains") {
  Fixture f;
  f.run_task(with_tty(true));
  auto waiter = f.wait();
  f.exit(0);
  CHECK_FALSE(waiter.arrived());
  CHECK(f.crash("log_forwarder_actor", Fixture::spec().id) == 1);
  f.kit.run();
  REQUIRE(f.runtime->routes.size() == 2);
  CHECK(f.runtime->count("finish logs") == 2);
  f.runtime->routes.front()->drain();  // it ends because it gives way
  f.kit.run();
  CHECK_FALSE(waiter.arrived());
  f.runtime->routes.back()->drain();
  f.kit.run();
  CHECK(waiter.arrived());
}

TEST_CASE("a log forwarder that crashes as the task exits does not hold up the task's end") {
  Fixture f;
  f.run_task(with_tty(true));
  auto waiter = f.wait();
  SECTION("before it is asked to finish") {
    CHECK(f.crash("log_forwarder_actor", Fixture::spec().id) == 1);
  }
  SECTION("when it is asked to finish") {
    REQUIRE(f.messages->crash_on({"log_forwarder_actor", Fixture::spec().id, "FinishLogs"}));
  }
  f.exit(0);
  REQUIRE(f.runtime->routes.size() == 2);
  CHECK_FALSE(waiter.arrived());
  f.runtime->routes.back()->drain();
  f.kit.run();
  CHECK(waiter.arrived());
}

TEST_CASE("without a log forwarder the task finishes its logs itself") {
  const bool tty = GENERATE(false, true);
  Fixture f;
  f.run_task(with_tty(tty));
  auto waiter = f.wait();
  SECTION("when it failed too often before the exit") {
    crash_often(f, "log_forwarder_actor");
    CHECK(f.has_event("log forwarder failed too often and stays off"));
    CHECK(f.runtime->count("finish logs") == 0);
    f.exit(0);
  }
  SECTION("when it fails each time that it is to finish") {
    REQUIRE(f.messages->crash_on({"log_forwarder_actor", Fixture::spec().id, "FinishLogs"},
                                 actors::MessageFaults::kAlways));
    f.exit(0);
    CHECK(f.has_event("log forwarder failed too often and stays off"));
  }
  CHECK(f.runtime->routes.size() == 4);
  CHECK(f.runtime->count("finish logs") == 1);
  if (tty) {
    CHECK_FALSE(waiter.arrived());
    f.runtime->routes.back()->drain();
    f.kit.run();
  }
  REQUIRE(waiter.arrived());
  CHECK(std::get<Exited>(waiter.value()->status).code == 0);
  CHECK(f.stop(5s).value().has_value());
  const auto destroyed = f.destroy(true);
  ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
  f.kit.run();
  CHECK(destroyed.value().has_value());
}

TEST_CASE("a task whose log route could never be opened again ends without it") {
  Fixture f;
  const std::string handle = f.run_task().value()->driver_state;
  Fixture g;
  g.faults->raise({runtime::Call::kOpenLogs, "", runtime::Calls::kAlways});
  Answer<Expected<void>> recovered;
  act::tell(g.driver, actors::RecoverTask{Fixture::spec().id, handle, recovered.reply()});
  g.kit.run();
  CHECK(g.runtime->routes.empty());
  auto waiter = g.wait();
  ScriptedRuntime::answer(g.runtime->attaches,
                          Expected<runtime::Attached>{TaskExit{Exited{7}, false, {}}});
  g.kit.run();
  REQUIRE(waiter.arrived());
  CHECK(std::get<Exited>(waiter.value()->status).code == 7);
}

TEST_CASE("failures of one child do not use up the restarts of the other") {
  Fixture f;
  f.run_task();
  const bool stats_first = GENERATE(false, true);
  const char* one = stats_first ? "stats_actor" : "log_forwarder_actor";
  const char* other = stats_first ? "log_forwarder_actor" : "stats_actor";
  crash_often(f, one);
  CHECK(f.crash(other, Fixture::spec().id) == 1);
  f.kit.run();
  CHECK(f.crash(other, Fixture::spec().id) == 1);  // the successor
}

TEST_CASE("a log that a new forwarder cannot open is finished by the route before") {
  Fixture f;
  f.run_task(with_tty(true));
  auto waiter = f.wait();
  f.faults->fail({runtime::Call::kOpenLogs, "", runtime::Calls::kAlways},
                 {.code = ErrorCode::kInternal, .what = "open logs", .cause = "no descriptors"});
  CHECK(f.crash("log_forwarder_actor", Fixture::spec().id) == 1);
  f.kit.run();
  CHECK(f.has_event("log cannot be delivered yet: "));
  f.exit(0);
  REQUIRE(f.runtime->routes.size() == 1);
  CHECK(f.runtime->count("finish logs") == 1);
  CHECK_FALSE(waiter.arrived());
  f.runtime->routes.front()->drain();
  f.kit.run();
  CHECK(waiter.arrived());
}

TEST_CASE("a log that cannot be opened is opened later, and followed") {
  Fixture f;
  f.run_task(with_tty(true));
  f.faults->fail({runtime::Call::kOpenLogs, "", 2}, {.code = ErrorCode::kInternal});
  CHECK(f.crash("log_forwarder_actor", Fixture::spec().id) == 1);
  f.kit.run();
  CHECK(f.runtime->count("follow") == 1);
  f.kit.advance(4s, 1s);
  CHECK(f.runtime->routes.size() == 2);
  CHECK(f.runtime->count("follow") == 2);
}

TEST_CASE("the end of a task waits half a minute for a log that cannot be opened") {
  Fixture f;
  const std::string handle = f.run_task().value()->driver_state;
  Fixture g;
  g.faults->fail({runtime::Call::kOpenLogs, "", runtime::Calls::kAlways},
                 {.code = ErrorCode::kInternal});
  Answer<Expected<void>> recovered;
  act::tell(g.driver, actors::RecoverTask{Fixture::spec().id, handle, recovered.reply()});
  g.kit.run();
  auto waiter = g.wait();
  ScriptedRuntime::answer(g.runtime->attaches,
                          Expected<runtime::Attached>{TaskExit{Exited{7}, false, {}}});
  g.kit.run();
  CHECK_FALSE(waiter.arrived());
  SECTION("and ends without it") {
    g.kit.advance(1min, 1s);
    CHECK(g.runtime->routes.empty());
  }
  SECTION("and with it where that helped") {
    g.faults->clear();
    g.kit.advance(3s, 1s);
    CHECK(g.runtime->count("follow") == 1);
  }
  REQUIRE(waiter.arrived());
  CHECK(std::get<Exited>(waiter.value()->status).code == 7);
}

}  // namespace
}  // namespace ndc::test
