// Actors crash here while the real adapter for Apple's container starts a task: the next actor has
// the container of the first one.
#include <chrono>
#include <string>
#include <thread>

#include "cli/apple_node.hpp"
#include "embed/embedded_driver.hpp"

namespace ndc::embed {
namespace {

using namespace std::chrono_literals;
using test::kLong;
using test::Node;

TaskSpec task(const Node& node, const std::string& script) {
  TaskSpec spec = *node.spec;
  spec.config.data = Value::Map{
      {"image", Value{std::string{"demo:1"}}},
      {"command", Value{std::string{"/bin/sh"}}},
      {"args", Value{Value::List{Value{std::string{"-c"}}, Value{std::string{script}}}}}};
  return spec;
}

// No call of the CLI hangs here: one that takes long is one of a busy machine.
void be_patient(Node& node) {
  node.config.command_timeout = 20s;
  node.restart();
}

TEST_CASE("an actor that fails over the news of a start has a successor that hears of it") {
  Node node;
  be_patient(node);
  EmbeddedDriver driver{node.runtime, node.config};
  const TaskSpec spec = task(node, "sleep 60");
  REQUIRE(driver.messages().crash_on({"task_actor", spec.id, "ContainerStarted"}));
  const auto handle = driver.start(spec, kLong);
  INFO((handle ? std::string{} : handle.error().message()));
  REQUIRE(handle);
  CHECK(driver.messages().struck() == 1);
  CHECK(node.calls("create") == 1);
  REQUIRE(driver.stop(spec.id, kLong, 2 * kLong));
  CHECK(std::get<Exited>(driver.wait(spec.id, kLong)->status).code == 143);
  CHECK(driver.destroy(spec.id, kLong));
}

TEST_CASE("an actor that fails during a start has a successor that waits for the start's end") {
  Node node{"1.2.2", "NDC_STANDIN_START_MS=1500\n"};
  be_patient(node);
  EmbeddedDriver driver{node.runtime, node.config};
  const TaskSpec spec = task(node, "sleep 60");
  const test::Awaited<Expected<TaskHandle>> started;
  std::thread caller{[&] { started.set(driver.start(spec, kLong)); }};
  const bool under_way = eventually([&] { return node.calls("start") == 1; }, kLong);
  const auto failed = driver.messages().crash("task_actor", spec.id);
  caller.join();
  CHECK(under_way);
  CHECK(failed.value() == 1);
  const auto handle = started.get();
  INFO((handle ? std::string{} : handle.error().message()));
  REQUIRE(handle);
  CHECK(node.calls("create") == 1);
  REQUIRE(driver.stop(spec.id, kLong, 2 * kLong));
  CHECK(std::get<Exited>(driver.wait(spec.id, kLong)->status).code == 143);
  CHECK(driver.destroy(spec.id, kLong));
}

TEST_CASE("what a task depends on can be killed, and its end is told as far as it can be known") {
  Node node;
  be_patient(node);
  EmbeddedDriver driver{node.runtime, node.config};
  const TaskSpec spec = task(node, "sleep 60");
  const auto handle = driver.start(spec, kLong);
  REQUIRE(handle);
  const auto which = GENERATE(runtime::ContainerProcess::kWatcher, runtime::ContainerProcess::kCli);
  REQUIRE(eventually([&] { return driver.kill_process(*handle, which).has_value(); }, kLong));
  CHECK(driver.stop(spec.id, kLong, 2 * kLong));
  const auto exit = driver.wait(spec.id, kLong);
  REQUIRE(exit);
  CHECK(std::holds_alternative<UnknownExit>(exit->status));
  CHECK(driver.destroy(spec.id, kLong));
  const auto again = driver.kill_process(*handle, which);
  CHECK(again.error().code == ErrorCode::kWrongState);
  CHECK(driver.kill_process(*handle, runtime::ContainerProcess::kWorkload).error().code ==
        ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace ndc::embed
