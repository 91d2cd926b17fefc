// A task's life through the driver actor, over a scripted runtime in virtual time.

#include <algorithm>

#include "actors/fixture.hpp"
#include "model/signals.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a start checks the job, finds the image, opens the logs and then starts the container") {
  Fixture f;
  auto started = f.run_task();
  REQUIRE(started.arrived());
  REQUIRE(started.value().has_value());
  CHECK(f.runtime->transcript == std::vector<std::string>{"check web", "find busybox", "open logs",
                                                          "start nomad-web-0a1b2c3d", "hold logs",
                                                          "follow nomad-web-0a1b2c3d"});
  auto handle = decode_handle(started.value()->driver_state);
  REQUIRE(handle.has_value());
  CHECK(handle->container.id == "c0ffee");
  CHECK(handle->image_id == "sha256:1");
  CHECK(handle->stop_signal == kSigTerm);
}

TEST_CASE("a start is answered only once the container runs") {
  Fixture f;
  auto started = f.start(Fixture::spec());
  f.pass_checks();
  CHECK_FALSE(started.arrived());
  f.started();
  CHECK(started.arrived());
}

TEST_CASE("a job with wrong settings fails before anything is started, with all that is wrong") {
  const auto start = [](const Error& opinion) {
    Fixture f;
    auto task = Fixture::spec();
    task.config.data = Value::Map{{"image", Value{std::string{"busybox"}}},
                                  {"stop_signal", Value{std::string{"SIGNONE"}}}};
    auto started = f.start(task);
    ScriptedRuntime::answer(f.runtime->checks, Expected<void>{fail(Error{opinion})});
    f.kit.run();
    REQUIRE(started.arrived());
    REQUIRE_FALSE(started.value().has_value());
    CHECK_FALSE(started.value().error().recoverable());
    CHECK(f.runtime->transcript == std::vector<std::string>{"check web"});
    return started.value().error().message();
  };
  const std::string both = start({.code = ErrorCode::kInvalidConfig, .what = "publish port"});
  CHECK(both.find("\"stop_signal\"") != std::string::npos);
  CHECK(both.find("publish port") != std::string::npos);
  // It would not help to try again when the engine is back.
  const std::string one = start({.code = ErrorCode::kRuntimeUnavailable, .what = "ask podman"});
  CHECK(one.find("\"stop_signal\"") != std::string::npos);
  CHECK(one.find("ask podman") == std::string::npos);
}

TEST_CASE("after a failed start the same id can be started again") {
  Fixture f;
  auto first = f.start(Fixture::spec());
  ScriptedRuntime::answer(f.runtime->checks,
                          Expected<void>{fail({.code = ErrorCode::kInvalidConfig, .what = "no"})});
  f.kit.run();
  REQUIRE(first.arrived());
  CHECK_FALSE(first.value().has_value());
  CHECK(f.run_task().value().has_value());
}

TEST_CASE("a start whose image has gone by then keeps its log route: the collector sees no end") {
  Fixture f;
  auto started = f.start(Fixture::spec());
  f.pass_checks();
  const std::weak_ptr<runtime::LogRoute> route = f.runtime->routes.back();
  f.runtime->routes.clear();
  ScriptedRuntime::answer(
      f.runtime->starts,
      Expected<runtime::StartedContainer>{fail({.code = ErrorCode::kImageNotFound, .what = "no"})});
  f.kit.run();
  REQUIRE_FALSE(f.runtime->finds.empty());  // it is looked for again
  ScriptedRuntime::answer(f.runtime->finds, Expected<std::optional<runtime::Image>>{
                                                runtime::Image{"busybox", "sha256:2", {}}});
  f.kit.run();
  f.started();
  CHECK(started.value().has_value());
  CHECK(f.runtime->routes.empty());  // no second one was opened
  CHECK(f.runtime->start_requests.back().logs == route.lock());
  CHECK(f.runtime->start_requests.back().image.id == "sha256:2");
}

TEST_CASE("a second start with the same id is refused and the first goes on") {
  Fixture f;
  auto first = f.start(Fixture::spec());
  auto second = f.start(Fixture::spec());
  REQUIRE(second.arrived());
  CHECK(second.value().error().code == ErrorCode::kAlreadyExists);
  f.pass_checks();
  f.started();
  CHECK(first.value().has_value());
}

TEST_CASE("every waiter gets the exit, those who ask later too") {
  Fixture f;
  f.run_task();
  auto one = f.wait();
  auto two = f.wait();
  CHECK_FALSE(one.arrived());
  f.exit(42);
  for (const auto& waiter : {one, two, f.wait()}) {
    REQUIRE(waiter.arrived());
    CHECK(std::get<Exited>(waiter.value()->status).code == 42);
  }
}

TEST_CASE("an exit that overtakes the news of the start is not lost") {
  Fixture f;
  auto started = f.start(Fixture::spec());
  f.pass_checks();
  auto waiter = f.wait();
  f.exit(3);
  CHECK_FALSE(waiter.arrived());
  f.started();
  CHECK(started.value().has_value());
  REQUIRE(waiter.arrived());
  CHECK(std::get<Exited>(waiter.value()->status).code == 3);
}

TEST_CASE("a pumped log is drained before the exit is reported, but not for ever") {
  Fixture f;
  auto task = Fixture::spec();
  std::get<Value::Map>(task.config.data)["tty"] = Value{true};
  f.run_task(task);
  auto waiter = f.wait();
  f.exit(0);
  SECTION("drained") {
    CHECK_FALSE(waiter.arrived());
    f.runtime->routes.back()->drain();
    f.kit.run();
    CHECK(waiter.arrived());
  }
  SECTION("the route never answers") {
    f.kit.advance(9min, 10s);
    CHECK_FALSE(waiter.arrived());
    f.kit.advance(2min, 10s);
    CHECK(waiter.arrived());
  }
}

TEST_CASE("a stop sends the stop signal and answers at the exit") {
  Fixture f;
  f.run_task();
  auto stopped = f.stop(5s);
  CHECK(f.runtime->transcript.back() == "signal nomad-web-0a1b2c3d 15");
  CHECK_FALSE(stopped.arrived());
  f.exit(143);
  REQUIRE(stopped.arrived());
  CHECK(stopped.value().has_value());
  f.kit.advance(30s, 1s);
  CHECK(f.runtime->count("signal") == 1);
}

TEST_CASE("a stop escalates step by step, each an event, and says so when nothing helps") {
  Fixture f;
  f.run_task();
  auto stopped = f.stop(5s, "SIGUSR1");
  CHECK(f.runtime->transcript.back() == "signal nomad-web-0a1b2c3d 10");
  f.kit.advance(5s, 1s);
  CHECK(f.runtime->transcript.back() == "stop nomad-web-0a1b2c3d");
  f.kit.advance(5s, 1s);
  CHECK(f.runtime->transcript.back() == "signal nomad-web-0a1b2c3d 9");
  f.kit.advance(35s, 1s);
  CHECK(f.runtime->transcript.back() == "remove nomad-web-0a1b2c3d");
  CHECK_FALSE(stopped.arrived());
  f.kit.advance(35s, 1s);
  REQUIRE(stopped.arrived());
  CHECK(stopped.value().error().code == ErrorCode::kTimeout);
  CHECK(f.has_event("SIGUSR1"));
  CHECK(f.has_event("Sent SIGKILL"));
  CHECK(f.has_event("sent SIGKILL to its first process"));
  CHECK(f.has_event("removing the container by force"));
  auto waiter = f.wait();
  f.exit(137);  // at last
  CHECK(waiter.arrived());
}

TEST_CASE("a stop with an unknown signal is refused and leaves the task alone") {
  Fixture f;
  f.run_task();
  auto stopped = f.stop(5s, "USR1");
  REQUIRE(stopped.arrived());
  CHECK(stopped.value().error().message().find("SIGUSR1") != std::string::npos);
  CHECK(f.runtime->count("signal") == 0);
}

TEST_CASE("destroying a running task needs force; forced, it is killed first") {
  Fixture f;
  f.run_task();
  CHECK(f.destroy(false).value().error().code == ErrorCode::kWrongState);
  auto waiter = f.wait();
  auto destroyed = f.destroy(true);
  CHECK(f.runtime->transcript.back() == "stop nomad-web-0a1b2c3d");
  f.exit(137);
  CHECK(waiter.arrived());
  CHECK(f.runtime->count("remove nomad-web-0a1b2c3d") == 1);
  ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
  f.kit.run();
  REQUIRE(destroyed.arrived());
  CHECK(destroyed.value().has_value());
  CHECK(f.destroy(true).value().error().code == ErrorCode::kTaskNotFound);
}

TEST_CASE("a destroy that the runtime fails can be tried again") {
  Fixture f;
  f.run_task();
  f.exit(0);
  auto first = f.destroy(false);
  ScriptedRuntime::answer(f.runtime->removes,
                          Expected<void>{fail({.code = ErrorCode::kTimeout, .what = "remove"})});
  f.kit.run();
  CHECK(first.value().error().code == ErrorCode::kTimeout);
  auto second = f.destroy(false);
  ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
  f.kit.run();
  CHECK(second.value().has_value());
}

// The client was killed, and its successor starts the task anew.
TEST_CASE("a task whose start nobody waits for any more is ended, and its logs are held") {
  Fixture f;
  const auto reply = f.begin_start();
  CHECK(reply.abandon());
  f.started();
  CHECK(f.runtime->count("stop nomad-web-0a1b2c3d") == 1);
  const std::weak_ptr<const void> held = f.runtime->routes.back()->held();
  f.exit(137);
  ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
  f.kit.run();
  CHECK(f.wait().value().error().code == ErrorCode::kTaskNotFound);
  // The next client's collector may have seen a writer by now, and is not to see it go.
  CHECK_FALSE(held.expired());
  TaskSpec next = Fixture::spec();
  next.id += "2";
  SECTION("until another task starts, they are") {
    f.run_task(Fixture::spec("other"));
    CHECK_FALSE(held.expired());
  }
  SECTION("until the next attempt has its own") {
    CHECK(f.run_task(next).value().has_value());
    CHECK(held.expired());
  }
  SECTION("until the next attempt has failed") {
    const auto failed = f.start(next);
    CHECK_FALSE(held.expired());
    ScriptedRuntime::answer(f.runtime->checks, Expected<void>{fail({.what = "check job"})});
    f.kit.run();
    CHECK_FALSE(failed.value().has_value());
    CHECK(held.expired());
  }
}

TEST_CASE("the logs of a task that is waited for from its start on are not held") {
  Fixture f;
  const auto started = f.start(Fixture::spec());
  const auto waiter = f.wait();
  f.pass_checks();
  f.started();
  CHECK(f.runtime->routes.back()->held() == nullptr);
}

TEST_CASE("the logs of a start that fails are held if nobody waits for it any more") {
  Fixture f;
  const auto reply = f.begin_start();
  // As the engine's program has them, until it fails.
  const std::shared_ptr<const void> held = f.runtime->routes.back()->hold();
  bool kept = false;
  SECTION("by a client that was killed") {
    CHECK(reply.abandon());
    kept = true;
  }
  SECTION("but not if its client hears of it") {}
  ScriptedRuntime::answer(f.runtime->starts,
                          Expected<runtime::StartedContainer>{fail({.what = "start container"})});
  f.kit.run();
  CHECK(held.use_count() == (kept ? 2 : 1));
}

// Killed a moment after the start, before it wrote down the handle that it was given.
TEST_CASE("the logs of a task are held until a client asks for it by its id") {
  Fixture f;
  f.run_task();
  const std::weak_ptr<const void> held = f.runtime->routes.back()->held();
  CHECK_FALSE(held.expired());
  SECTION("waits for it") {
    const auto waiter = f.wait();
    CHECK(held.expired());
    return;
  }
  SECTION("recovers it") {
    Answer<Expected<void>> recovered;
    act::tell(f.driver, actors::RecoverTask{Fixture::spec().id, "", recovered.reply()});
    f.kit.run();
    CHECK(recovered.value().has_value());
    CHECK(held.expired());
    return;
  }
  SECTION("destroys it") {
    Answer<Expected<void>> destroyed;
    act::tell(f.driver, actors::DestroyTask{Fixture::spec().id, true, destroyed.reply()});
    f.kit.run();
    CHECK(held.expired());
    return;
  }
  SECTION("and beyond its end, if none does") {
    f.exit(3);
    CHECK_FALSE(held.expired());
    TaskSpec next = Fixture::spec();
    next.id += "2";
    const auto answer = f.start(next);
    // The collector may have new FIFOs by now.
    const std::weak_ptr<const void> anew = f.runtime->routes.back()->held();
    ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
    f.kit.run();
    CHECK_FALSE(held.expired());
    CHECK_FALSE(anew.expired());
    f.pass_checks();
    f.started();
    CHECK(answer.value().has_value());
    CHECK(held.expired());
  }
}

TEST_CASE("an attempt that Nomad has forgotten ends before the next one starts") {
  Fixture f;
  f.run_task();
  const auto waiter = f.wait();
  TaskSpec next = Fixture::spec();
  next.id += "2";
  const auto answer = f.start(next);
  CHECK(f.runtime->count("start ") == 1);
  // The collector is not to see the last writer go: nobody starts another one.
  const auto& lines = f.runtime->transcript;
  const auto stopped = std::find(lines.begin(), lines.end(), "stop nomad-web-0a1b2c3d");
  REQUIRE(stopped != lines.end());
  CHECK(std::find(lines.begin(), stopped, "hold logs") != stopped);
  const std::weak_ptr<const void> held = f.runtime->routes.back()->held();
  f.exit(137);
  CHECK_FALSE(held.expired());
  CHECK(f.runtime->count("start ") == 1);
  SECTION("and is gone") {
    ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
    f.kit.run();
    f.pass_checks();
    CHECK(f.runtime->count("start ") == 2);
    CHECK_FALSE(held.expired());
    f.started();
    CHECK(answer.value().has_value());
  }
  SECTION("but cannot be removed") {
    ScriptedRuntime::answer(f.runtime->removes,
                            Expected<void>{fail({.code = ErrorCode::kInternal, .what = "remove"})});
    f.kit.run();
    CHECK(answer.value().error().recoverable());
  }
  f.kit.run();
  CHECK(held.expired());
}

TEST_CASE("an attempt whose client has gone while it waited for the one before does not start") {
  Fixture f;
  const auto first = f.start(Fixture::spec());
  f.pass_checks();
  TaskSpec next = Fixture::spec();
  next.id += "2";
  const auto reply = Answer<Expected<actors::TaskStarted>>{}.reply();
  act::tell(f.driver, actors::StartTask{std::make_shared<const TaskSpec>(next), reply});
  f.kit.run();
  const std::weak_ptr<const void> held = f.runtime->routes.back()->held();
  CHECK(reply.abandon());
  f.kit.advance(1s, 100ms);
  CHECK(f.runtime->count("stop") == 0);
  CHECK_FALSE(held.expired());
  f.started();
  CHECK(first.value().has_value());
  CHECK(f.runtime->count("stop") == 0);
}

TEST_CASE("the logs of a start are held while its actor is restarted") {
  Fixture f;
  const auto started = f.start(Fixture::spec());
  f.pass_checks();
  // As the engine's program has them, until it fails.
  auto engine = f.runtime->routes.back()->hold();
  const std::weak_ptr<const void> held = engine;
  REQUIRE(f.messages->crash_on({"task_actor", Fixture::spec().id, "ContainerStarted"}));
  ScriptedRuntime::answer(f.runtime->starts,
                          Expected<runtime::StartedContainer>{fail({.what = "start container"})});
  f.kit.run();
  engine.reset();
  CHECK_FALSE(held.expired());
  CHECK_FALSE(started.arrived());
  f.pass_checks();
  CHECK_FALSE(held.expired());
  f.started();
  CHECK(started.value().has_value());
  CHECK(held.expired());
}

TEST_CASE("the logs are held from the moment on that the next attempt is asked for") {
  Fixture f;
  const auto first = f.start(Fixture::spec());
  f.pass_checks();
  CHECK(f.runtime->count("hold logs") == 0);
  TaskSpec next = Fixture::spec();
  next.id += "2";
  const auto answer = f.start(next);  // the first one still starts
  CHECK(f.runtime->count("hold logs") == 1);
  f.started();
  CHECK_FALSE(answer.arrived());
}

// The client was killed right after its DestroyTask, and its successor has not heard of the exit.
TEST_CASE("a task that is recovered while it is destroyed still tells its exit") {
  Fixture f;
  f.run_task();
  f.exit(3);
  static_cast<void>(f.destroy(false));
  Answer<Expected<void>> recovered;
  act::tell(f.driver, actors::RecoverTask{Fixture::spec().id, {}, recovered.reply()});
  f.kit.run();
  REQUIRE(recovered.value().has_value());
  CHECK(f.stop(1s).value().has_value());
  ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
  f.kit.run();
  CHECK(f.wait().value().value().status == ExitStatus{Exited{3}});
  CHECK(f.stop(1s).value().has_value());
  CHECK(f.signal("SIGHUP").value().error().code == ErrorCode::kTaskNotFound);
  CHECK(f.destroy(false).value().has_value());
  CHECK(f.wait().value().error().code == ErrorCode::kTaskNotFound);
}

TEST_CASE("a recovered task that ended meanwhile reports its real exit") {
  Fixture f;
  TaskHandle handle;
  handle.task_id = Fixture::spec().id;
  handle.runtime = "scripted";
  handle.container = {"nomad-web-0a1b2c3d", "c0ffee", {}};
  Answer<Expected<void>> recovered;
  act::tell(f.driver,
            actors::RecoverTask{handle.task_id, encode_handle(handle), recovered.reply()});
  f.kit.run();
  auto waiter = f.wait();
  ScriptedRuntime::answer(f.runtime->attaches,
                          Expected<runtime::Attached>{TaskExit{Exited{7}, false, {}}});
  f.kit.run();
  CHECK(recovered.value().has_value());
  REQUIRE(waiter.arrived());
  CHECK(std::get<Exited>(waiter.value()->status).code == 7);
}

TEST_CASE("what a recovered task wrote meanwhile is delivered, however fast its exit is known") {
  Fixture f;
  REQUIRE(f.messages->delay({"task_actor", Fixture::spec().id, "LogsOpened"}, 1s));
  TaskHandle handle;
  handle.task_id = Fixture::spec().id;
  handle.runtime = "scripted";
  handle.container = {"nomad-web-0a1b2c3d", "c0ffee", {}};
  handle.tty = true;  // pumped
  Answer<Expected<void>> recovered;
  act::tell(f.driver,
            actors::RecoverTask{handle.task_id, encode_handle(handle), recovered.reply()});
  f.kit.run();
  auto waiter = f.wait();
  ScriptedRuntime::answer(f.runtime->attaches,
                          Expected<runtime::Attached>{TaskExit{Exited{7}, false, {}}});
  f.kit.run();
  const auto& script = f.runtime->transcript;
  const auto at = [&](const char* line) { return std::find(script.begin(), script.end(), line); };
  REQUIRE(at("finish logs") != script.end());
  CHECK(at("follow nomad-web-0a1b2c3d") < at("finish logs"));
  CHECK_FALSE(waiter.arrived());
  f.runtime->routes.back()->drain();
  f.kit.run();
  CHECK(waiter.arrived());
}

TEST_CASE("a handle of another task, of another runtime or of garbage is refused") {
  Fixture f;
  TaskHandle handle;
  handle.task_id = "other";
  handle.runtime = "scripted";
  handle.container = {"n", "i", {}};
  const auto recover = [&](const std::string& bytes) {
    Answer<Expected<void>> answer;
    act::tell(f.driver, actors::RecoverTask{Fixture::spec().id, bytes, answer.reply()});
    f.kit.run();
    return answer;
  };
  CHECK_FALSE(recover(encode_handle(handle)).value().has_value());
  handle.task_id = Fixture::spec().id;
  handle.runtime = "apple";
  CHECK_FALSE(recover(encode_handle(handle)).value().has_value());
  CHECK_FALSE(recover("{").value().has_value());
  CHECK(f.runtime->transcript.empty());
}

TEST_CASE("commands for an unknown task are answered with that") {
  Fixture f;
  CHECK(f.wait("nobody").value().error().code == ErrorCode::kTaskNotFound);
  CHECK(f.stop(1s).value().error().code == ErrorCode::kTaskNotFound);
  CHECK(f.signal("SIGHUP").value().error().code == ErrorCode::kTaskNotFound);
}

TEST_CASE("a shutdown leaves the container alone and answers whoever waits") {
  Fixture f;
  f.run_task();
  auto waiter = f.wait();
  act::tell(f.driver, actors::Shutdown{});
  f.kit.run();
  CHECK(waiter.dropped());
  CHECK(f.events->ended);
  CHECK(f.runtime->count("signal") == 0);
  CHECK(f.runtime->count("remove") == 0);
}

}  // namespace
}  // namespace ndc::test
