// Runs tasks without Nomad, breaks something in each of four ways, and checks that the driver keeps
// its promises. The containers are simulated; `fault_injection podman IMAGE` does the same with
// real ones (as root). Killing processes, which simulated ones have none of: docs/embedding.md.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <nomad_driver_container.hpp>

using namespace std::chrono_literals;
using ndc::embed::EmbeddedDriver;
using ndc::runtime::Call;

namespace {

void check(bool ok, const std::string& promise, const std::string& why = {}) {
  std::printf("%s  %s %s\n", ok ? "ok  " : "FAIL", promise.c_str(), why.c_str());
  if (!ok) std::exit(1);  // NOLINT(concurrency-mt-unsafe): the end of the program
}

// The value of a result, if it has one; the program ends where it is an error.
template <class T>
T must(ndc::Expected<T> result, const std::string& what) {
  check(result.has_value(), what, result ? "" : result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::shared_ptr<ndc::runtime::ContainerRuntime> pick_runtime(int argc) {
  if (argc < 3) return std::make_shared<ndc::embed::SimulatedRuntime>();
  ndc::PluginConfig config;
  config.runtime = ndc::RuntimeKind::kPodman;
  return must(ndc::runtime::make_runtime(config, std::make_shared<ndc::runtime::EventLoop>()),
              "podman can be used");
}

ndc::TaskSpec a_task(const std::string& name, const std::string& image) {
  auto spec = EmbeddedDriver::task(name, image);
  auto& config = std::get<ndc::Value::Map>(spec.config.data);
  config["command"] = ndc::Value{std::string{"sleep"}};
  config["args"] = ndc::Value{ndc::Value::List{ndc::Value{std::string{"1000"}}}};
  return spec;
}

}  // namespace

int main(int argc, char** argv) {
  // A real runtime may run this program again, beside a task or as a hook.
  if (const auto code = ndc::runtime::run_role(argc, argv)) return *code;
  const std::string image = argc < 3 ? "demo" : argv[2];
  EmbeddedDriver driver{pick_runtime(argc)};

  // 1. A call of the runtime fails: the start says why, and the same task can be started again.
  const auto web = a_task("web", image);
  driver.runtime().fail({Call::kStart}, {.code = ndc::ErrorCode::kRuntimeUnavailable,
                                         .what = "start container",
                                         .cause = "the engine is out of order"});
  const auto refused = driver.start(web);
  check(!refused && refused.error().recoverable(), "a start that fails for now says so");
  must(driver.start(web), "the second try starts it");

  // 2. The task's actor crashes: its successor finds the container again, nothing else notices.
  // That of the refused start may be about to go still.
  const auto crashed = driver.messages().crash("task_actor", web.id);
  check(crashed.value_or(0) >= 1, "the actor of \"web\" is crashed");
  must(driver.wait_for_event(web.id, "the task runs on"), "the user is told");
  check(driver.wait_for_state(web.id, ndc::TaskState::kRunning).has_value(), "the task runs on");

  // 3. A message is lost: the stop is not answered, and asking again helps.
  must(driver.messages().drop({"task_actor", web.id, "StopTask"}), "there is such a message");
  const auto lost = driver.stop(web.id, 1s, 2s);
  check(!lost, "a stop whose message is lost is not answered");
  check(driver.stop(web.id, 1s).has_value(), "the next stop ends the task");
  must(driver.wait(web.id), "its exit is there for whoever asks");

  // 4. A call of the runtime hangs: that task waits, another one does not.
  const auto slow = a_task("slow", image);
  const auto quick = a_task("quick", image);
  driver.runtime().hang({Call::kStart, "slow"});
  const auto late = driver.start(slow, 1s);
  check(!late && late.error().code == ndc::ErrorCode::kTimeout, "a hung start is not answered");
  must(driver.start(quick), "another task starts meanwhile");
  check(driver.runtime().release() == 1, "the hung call goes on");
  check(driver.wait_for_state(slow.id, ndc::TaskState::kRunning).has_value(), "then it runs, too");

  for (const auto& task : {web, slow, quick}) {
    check(driver.destroy(task.id).has_value(), "removed " + task.name);
  }
}
