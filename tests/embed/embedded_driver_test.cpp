// The embedded driver in real time over simulated containers: what its commands, waits and faults
// promise to a program that uses them.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "embed/embedded_driver.hpp"
#include "embed/simulated_runtime.hpp"
#include "model/container_name.hpp"
#include "support/catch.hpp"

namespace ndc::embed {
namespace {

using namespace std::chrono_literals;
using runtime::Call;

struct Program {
  std::shared_ptr<SimulatedRuntime> engine = std::make_shared<SimulatedRuntime>();
  EmbeddedDriver driver{engine};
  TaskSpec web = EmbeddedDriver::task("web", "demo");
};

TEST_CASE("a task is started, ended and removed without a wire") {
  Program p;
  const auto handle = p.driver.start(p.web);
  REQUIRE(handle.has_value());
  CHECK(p.engine->running() == std::vector<std::string>{handle->container.name});
  CHECK(p.driver.wait_for_state(p.web.id, TaskState::kRunning));
  CHECK(p.engine->end(handle->container.name, {Exited{3}, false, {}}));
  const auto exit = p.driver.wait(p.web.id);
  REQUIRE(exit.has_value());
  CHECK(std::get<Exited>(exit->status).code == 3);
  CHECK(p.driver.destroy(p.web.id));
  CHECK(p.engine->all().empty());
}

std::string container_of(const TaskSpec& spec) { return container_name(spec.name, spec.alloc_id); }

TEST_CASE("no two tasks share a container's name, nor do those of two programs") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t child = ::fork();  // as far as the next task is its first, a program like this one
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string name = container_of(EmbeddedDriver::task("web", "demo"));
    ::_exit(::write(ends[1], name.data(), name.size()) > 0 ? 0 : 1);
  }
  ::close(ends[1]);
  std::array<char, 128> theirs{};
  const ssize_t size = ::read(ends[0], theirs.data(), theirs.size());
  ::close(ends[0]);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  REQUIRE(size > 0);
  const std::string ours = container_of(EmbeddedDriver::task("web", "demo"));
  CHECK(ours.starts_with("nomad-web-"));
  CHECK(ours != std::string(theirs.data(), static_cast<std::size_t>(size)));
  CHECK(ours != container_of(EmbeddedDriver::task("web", "demo")));
}

TEST_CASE("what is not answered in time is a time-out, never a hang") {
  Program p;
  REQUIRE(p.driver.start(p.web));
  CHECK(p.driver.wait(p.web.id, 10ms).error().code == ErrorCode::kTimeout);
  CHECK(p.driver.wait_for_event(p.web.id, "no such text", 10ms).error().code ==
        ErrorCode::kTimeout);
}

TEST_CASE("for ever is neither a time-out at once nor a stop without grace") {
  constexpr auto kForEver = std::chrono::nanoseconds::max();
  Program p;
  const auto handle = p.driver.start(p.web, kForEver);
  REQUIRE(handle.has_value());
  CHECK(p.driver.wait_for_state(p.web.id, TaskState::kRunning, kForEver));
  int asked = 0;
  CHECK(eventually([&] { return ++asked == 3; }, kForEver));

  p.driver.runtime().fail({Call::kSignal}, {.code = ErrorCode::kRuntimeUnavailable});
  auto stopping =
      std::async(std::launch::async, [&] { return p.driver.stop(p.web.id, kForEver, kForEver); });
  CHECK(p.driver.wait_for_event(p.web.id, "Sent SIGTERM", kForEver));
  CHECK(stopping.wait_for(200ms) == std::future_status::timeout);
  CHECK(p.engine->end(handle->container.name, {Exited{3}, false, {}}));  // and not by SIGKILL
  CHECK(stopping.get());
  const auto exit = p.driver.wait(p.web.id, kForEver);
  REQUIRE(exit.has_value());
  CHECK(std::get<Exited>(exit->status).code == 3);
}

TEST_CASE("a wait that timed out leaves nothing behind, however many do") {
  Program p;
  const auto handle = p.driver.start(p.web);
  REQUIRE(handle.has_value());
  for (int i = 0; i < 1100; ++i) {  // of 1024 that one task may have
    REQUIRE(p.driver.wait(p.web.id, 0ns).error().code == ErrorCode::kTimeout);
  }
  CHECK(p.driver.wait(p.web.id, 500ms).error().code == ErrorCode::kTimeout);  // not refused
  auto waiting = std::async(std::launch::async, [&] { return p.driver.wait(p.web.id); });
  CHECK(p.engine->end(handle->container.name, {Exited{3}, false, {}}));
  const auto exit = waiting.get();
  REQUIRE(exit.has_value());
  CHECK(std::get<Exited>(exit->status).code == 3);
}

TEST_CASE("every kind of runtime fault strikes as often as it was set") {
  Program p;
  p.driver.runtime().fail({Call::kCheck, "web", 2}, {.code = ErrorCode::kInvalidConfig});
  CHECK(p.driver.start(p.web).error().code == ErrorCode::kInvalidConfig);
  CHECK(p.driver.start(p.web).error().code == ErrorCode::kInvalidConfig);
  REQUIRE(p.driver.start(p.web));

  p.driver.runtime().raise({Call::kSignal});
  CHECK(p.driver.signal(p.web.id, "SIGHUP").error().code == ErrorCode::kInternal);
  CHECK(p.driver.wait_for_event(p.web.id, "the task runs on"));

  REQUIRE(p.driver.wait_for_state(p.web.id, TaskState::kRunning));
  p.driver.runtime().hang_after({Call::kSignal});
  CHECK(p.driver.signal(p.web.id, "SIGTERM", 50ms).error().code == ErrorCode::kTimeout);
  CHECK(p.driver.wait(p.web.id));  // the signal itself was sent
  CHECK(eventually([&] { return p.driver.runtime().hanging() == 1; }));
  CHECK(p.driver.runtime().struck() == 4);
}

TEST_CASE("a task that ends while its actor fails over its start runs once, and keeps its exit") {
  Program p;
  p.driver.runtime().hang_after({Call::kStart});
  REQUIRE(p.driver.messages().crash_on({"task_actor", p.web.id, "ContainerStarted"}));
  auto starting = std::async(std::launch::async, [&] { return p.driver.start(p.web); });
  REQUIRE(eventually([&] { return p.driver.runtime().hanging() == 1; }));
  CHECK(p.engine->end(container_of(p.web), {Exited{3}, false, {}}));
  CHECK(p.driver.runtime().release() == 1);
  const auto handle = starting.get();
  REQUIRE(handle.has_value());
  CHECK(p.driver.messages().struck() == 1);
  CHECK(p.engine->running().empty());
  const auto exit = p.driver.wait(p.web.id);
  REQUIRE(exit.has_value());
  CHECK(std::get<Exited>(exit->status).code == 3);
  CHECK(p.driver.destroy(p.web.id));
}

TEST_CASE("a delayed message arrives late, a dropped one never") {
  Program p;
  REQUIRE(p.driver.start(p.web));
  REQUIRE(p.driver.messages().delay({"task_actor", p.web.id, "InspectTask"}, 5s));
  CHECK(p.driver.inspect(p.web.id, 20ms).error().code == ErrorCode::kTimeout);
  CHECK(p.driver.inspect(p.web.id));
  REQUIRE(p.driver.messages().drop({"driver_actor", "", "WaitTask"}));
  // With the message its reply is gone: the caller is told rather than left waiting.
  CHECK(p.driver.wait(p.web.id).error().code == ErrorCode::kInternal);
  CHECK(p.driver.messages().struck() == 2);
}

TEST_CASE("a failure of the root is told to the program") {
  std::atomic<int> failed{0};
  actors::DriverOptions options;
  options.failed = [&] { ++failed; };
  EmbeddedDriver driver{std::make_shared<SimulatedRuntime>(), {}, options};
  REQUIRE(eventually([&] { return driver.messages().crash("driver_actor").value() == 1; }));
  CHECK(eventually([&] { return failed == 1; }));
  CHECK(driver.inspect("any").error().code == ErrorCode::kInternal);  // told, not left waiting
}

TEST_CASE("whoever waits for an event or a state while the root fails is told of it") {
  Program p;
  REQUIRE(p.driver.start(p.web));
  auto event =
      std::async(std::launch::async, [&] { return p.driver.wait_for_event(p.web.id, "no such"); });
  auto state = std::async(std::launch::async,
                          [&] { return p.driver.wait_for_state(p.web.id, TaskState::kExited); });
  CHECK(event.wait_for(50ms) == std::future_status::timeout);
  CHECK(p.driver.messages().crash("driver_actor").value() == 1);
  CHECK(event.get().error().code == ErrorCode::kInternal);
  CHECK(state.get().error().code == ErrorCode::kInternal);
  // Nor is anything waited for from then on.
  CHECK(p.driver.wait_for_event(p.web.id, "no such").error().code == ErrorCode::kInternal);
  CHECK(p.driver.wait_for_state(p.web.id, TaskState::kRunning).error().code ==
        ErrorCode::kInternal);
}

TEST_CASE("no state is waited for of a task that is not known") {
  Program p;
  CHECK(p.driver.wait_for_state(p.web.id, TaskState::kRunning).error().code ==
        ErrorCode::kTaskNotFound);
  REQUIRE(p.driver.start(p.web));
  REQUIRE(p.driver.destroy(p.web.id));
  CHECK(p.driver.wait_for_state(p.web.id, TaskState::kExited).error().code ==
        ErrorCode::kTaskNotFound);
}

TEST_CASE("a wait for a state is over in time though its last question is not answered") {
  Program p;
  REQUIRE(p.driver.start(p.web));
  const actors::Messages question{"task_actor", p.web.id, "InspectTask"};
  REQUIRE(p.driver.messages().delay(question, 1500ms));
  REQUIRE(p.driver.messages().delay(question, 10s));
  const auto begun = std::chrono::steady_clock::now();
  CHECK(p.driver.wait_for_state(p.web.id, TaskState::kExited, 2s).error().code ==
        ErrorCode::kTimeout);
  CHECK(std::chrono::steady_clock::now() - begun < 3s);
  CHECK(p.driver.messages().struck() == 2);
}

TEST_CASE("a runtime without processes has none that could be killed") {
  EmbeddedDriver driver{std::make_shared<SimulatedRuntime>()};
  const auto killed = driver.kill_process({}, runtime::ContainerProcess::kWorkload);
  CHECK(killed.error().code == ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace ndc::embed
