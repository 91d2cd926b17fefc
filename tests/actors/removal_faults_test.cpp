// A task's actor crashes over the task's removal: Nomad asks for it once, and it is done.

#include "actors/fixture.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

void found(Fixture& f, Expected<runtime::Attached> what) {
  REQUIRE(f.runtime->attaches.size() == 1);
  ScriptedRuntime::answer(f.runtime->attaches, std::move(what));
  f.kit.run();
}

Expected<runtime::Attached> gone() {
  return fail({.code = ErrorCode::kContainerGone, .what = "find container"});
}

// Every removal that is open, that of a crashed actor too.
void remove_all(Fixture& f) {
  while (!f.runtime->removes.empty()) {
    ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
    f.kit.run();
  }
}

bool is_forgotten(Fixture& f) {
  const auto answer = f.wait();
  return answer.arrived() && !answer.value() &&
         answer.value().error().code == ErrorCode::kTaskNotFound;
}

TEST_CASE("an ended task whose actor fails over its removal is removed by the successor") {
  Fixture f;
  f.run_task();
  f.exit(3);
  const auto crash_on = GENERATE(as<std::string>{}, "DestroyTask", "ContainerRemoved", "");
  if (!crash_on.empty()) {
    REQUIRE(f.messages->crash_on({"task_actor", Fixture::spec().id, crash_on}));
  }
  const auto destroyed = f.destroy(GENERATE(false, true));
  if (crash_on.empty()) CHECK(f.crash("task_actor", Fixture::spec().id) == 1);
  f.kit.run();
  if (crash_on == "ContainerRemoved") remove_all(f);
  CHECK(destroyed.dropped());
  CHECK(std::get<Exited>(f.wait().value()->status).code == 3);
  found(f, TaskExit{Exited{3}, false, {}});
  CHECK(f.runtime->count("stop") == 0);  // there is nothing left to kill
  CHECK_FALSE(f.runtime->removes.empty());
  remove_all(f);
  CHECK(is_forgotten(f));
  CHECK(f.run_task().value().has_value());
}

TEST_CASE("a running task whose actor fails over its forced removal is removed by the successor") {
  Fixture f;
  f.run_task();
  auto waiter = f.wait();
  const auto destroyed = f.destroy(true);
  CHECK(f.runtime->count("stop nomad-web-0a1b2c3d") == 1);
  CHECK(f.crash("task_actor", Fixture::spec().id) == 1);
  f.kit.run();
  CHECK(destroyed.dropped());
  found(f, runtime::StillRunning{});
  CHECK(f.runtime->count("stop nomad-web-0a1b2c3d") == 2);
  f.exit(137);
  CHECK(std::get<Exited>(waiter.value()->status).code == 137);
  remove_all(f);
  CHECK(is_forgotten(f));
}

TEST_CASE("a removal that was refused is not made up for") {
  Fixture f;
  f.run_task();
  CHECK(f.destroy(false).value().error().code == ErrorCode::kWrongState);
  CHECK(f.crash("task_actor", Fixture::spec().id) == 1);
  f.kit.run();
  found(f, runtime::StillRunning{});
  CHECK(f.runtime->count("stop") == 0);
  f.exit(0);
  CHECK(f.runtime->count("remove") == 0);
  CHECK_FALSE(is_forgotten(f));
}

TEST_CASE("a task whose start nobody waits for is ended by the successor of its actor, too") {
  Fixture f;
  const auto reply = f.begin_start();
  CHECK(reply.abandon());
  REQUIRE(f.messages->crash_on({"task_actor", Fixture::spec().id, "DestroyTask"}));
  f.started();
  CHECK(f.runtime->count("stop") == 0);
  found(f, runtime::StillRunning{});
  CHECK(f.runtime->count("stop nomad-web-0a1b2c3d") == 1);
  f.exit(137);
  remove_all(f);
  CHECK(is_forgotten(f));
}

TEST_CASE("a removal that every actor fails over is given up, and its container is abandoned") {
  Fixture f;
  f.run_task();
  auto waiter = f.wait();
  REQUIRE(f.messages->crash_on({"task_actor", Fixture::spec().id, "DestroyTask"},
                               actors::MessageFaults::kAlways));
  CHECK(f.destroy(true).dropped());
  CHECK(f.messages->struck() == 4);
  CHECK(f.runtime->count("list containers") == 1);
  CHECK(std::holds_alternative<UnknownExit>(waiter.value()->status));
}

TEST_CASE("a known exit outlives the container and its task's actor") {
  Fixture f;
  f.run_task();
  f.exit(3);
  const bool destroyed = GENERATE(false, true);
  if (destroyed) {
    // By a client that was killed; its successor has not heard of the exit.
    static_cast<void>(f.destroy(false));
    Answer<Expected<void>> recovered;
    act::tell(f.driver, actors::RecoverTask{Fixture::spec().id, {}, recovered.reply()});
    f.kit.run();
    REQUIRE(recovered.value().has_value());
    REQUIRE(f.messages->crash_on({"task_actor", Fixture::spec().id, "ContainerRemoved"}));
    remove_all(f);
  } else {
    CHECK(f.crash("task_actor", Fixture::spec().id) == 1);
    f.kit.run();
  }
  found(f, gone());
  remove_all(f);
  REQUIRE(f.wait().value().has_value());
  CHECK(f.wait().value()->status == ExitStatus{Exited{3}});
  CHECK(f.stop(1s).value().has_value());
  CHECK(f.destroy(true).value().has_value());
  CHECK(is_forgotten(f));
}

TEST_CASE("commands that waited for a recovery are served though the exit overtook its answer") {
  Fixture f;
  const std::string handle = f.run_task().value()->driver_state;
  Fixture g;
  Answer<Expected<void>> recovered;
  act::tell(g.driver, actors::RecoverTask{Fixture::spec().id, handle, recovered.reply()});
  g.kit.run();
  const auto stopped = g.stop(5s);
  const auto destroyed = g.destroy(false);
  g.exit(7);
  CHECK_FALSE(stopped.arrived());
  g.kit.advance(2500ms, 100ms);
  CHECK(recovered.value().has_value());
  CHECK(stopped.value().has_value());
  CHECK(g.runtime->count("signal") == 0);
  CHECK(std::get<Exited>(g.wait().value()->status).code == 7);
  remove_all(g);
  CHECK(destroyed.value().has_value());
  CHECK(is_forgotten(g));
}

TEST_CASE("a removal that the container outlives is tried again, though nobody asks for it") {
  Fixture f;
  f.run_task();
  const auto destroyed = f.destroy(true);
  CHECK(f.runtime->count("stop nomad-web") == 1);
  f.kit.advance(5min, 1s);
  REQUIRE(destroyed.arrived());
  CHECK(destroyed.value().error().code == ErrorCode::kTimeout);
  CHECK(f.runtime->count("stop nomad-web") > 1);
  f.exit(137);
  remove_all(f);
  CHECK(is_forgotten(f));
}

TEST_CASE("who asks for a removal again does not begin its steps anew") {
  Fixture f;
  f.run_task();
  f.destroy(true);
  f.kit.advance(6s, 1s);
  CHECK(f.runtime->count("signal nomad-web-0a1b2c3d 9") == 1);
  const auto again = f.destroy(true);
  CHECK(f.runtime->count("stop nomad-web") == 1);
  f.exit(137);
  remove_all(f);
  CHECK(again.value().has_value());
}

TEST_CASE("the next attempt starts when the recovery of the one before finds nothing") {
  Fixture f;
  f.run_task();
  CHECK(f.crash("task_actor", Fixture::spec().id) == 1);
  f.kit.run();
  TaskSpec next = Fixture::spec();
  next.id.back() = '2';
  const auto started = f.start(next);
  found(f, gone());
  CHECK_FALSE(started.arrived());
  CHECK(f.runtime->checks.size() == 1);
}

}  // namespace
}  // namespace ndc::test
