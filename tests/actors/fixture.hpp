// A driver actor in virtual time over a scripted runtime, and short words for what tests do to it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/driver_system.hpp"
#include "actors/spawn.hpp"
#include "runtime/faulty_runtime.hpp"
#include "support/counted_metrics.hpp"
#include "support/scripted_runtime.hpp"
#include "support/testkit.hpp"

namespace ndc::test {

// Where the answer to a command arrives.
template <class T>
struct Answer {
  std::shared_ptr<std::optional<std::optional<T>>> slot =
      std::make_shared<std::optional<std::optional<T>>>();
  Reply<T> reply() const {
    return Reply<T>{[slot = slot](std::optional<T> value) { *slot = std::move(value); }};
  }
  bool arrived() const { return slot->has_value(); }
  bool dropped() const { return arrived() && !(*slot)->has_value(); }
  const T& value() const { return slot->value().value(); }
};

template <class T>
struct Collected final : StreamSink<T> {
  std::vector<T> values;
  bool ended = false;
  std::optional<Error> error;
  void next(T value) override { values.push_back(std::move(value)); }
  void end(std::optional<Error> why) override {
    if (!ended) error = std::move(why);
    ended = true;
  }
  bool closed() const override { return ended; }
};

inline void prepare_caf() {
  static const bool done = [] {
    act::init<caf::id_block::ndc_actors>();
    return true;
  }();
  static_cast<void>(done);
}

struct Fixture {
  Fixture() {
    act::inject_faults(kit.system(), messages);
    driver = actors::spawn_driver(kit.system(), options());
    act::tell(driver, actors::WatchEvents{events});
    kit.run();
  }
  ~Fixture() {
    act::inject_faults(kit.system(), nullptr);
    act::tell(driver, actors::Shutdown{});
    kit.run();
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  static TaskSpec spec(const std::string& task = "web") {
    TaskSpec spec;
    spec.alloc_id = "0a1b2c3d-0000-0000-0000-000000000000";
    spec.name = task;
    spec.id = spec.alloc_id + "/" + task + "/00000001";
    spec.config.data = Value::Map{{"image", Value{std::string{"busybox"}}}};
    return spec;
  }

  Answer<Expected<actors::TaskStarted>> start(const TaskSpec& task) {
    Answer<Expected<actors::TaskStarted>> answer;
    act::tell(driver, actors::StartTask{std::make_shared<const TaskSpec>(task), answer.reply()});
    kit.run();
    return answer;
  }

  // Asks for a start and takes it as far as the runtime's part of it. Whoever asked can still go.
  Reply<Expected<actors::TaskStarted>> begin_start() {
    const auto reply = Answer<Expected<actors::TaskStarted>>{}.reply();
    act::tell(driver, actors::StartTask{std::make_shared<const TaskSpec>(spec()), reply});
    kit.run();
    pass_checks();
    return reply;
  }

  // Takes a task through all steps of a start.
  Answer<Expected<actors::TaskStarted>> run_task(const TaskSpec& task = spec()) {
    auto answer = start(task);
    pass_checks();
    started();
    return answer;
  }

  void pass_checks() {
    ScriptedRuntime::answer(runtime->checks, Expected<void>{});
    kit.run();
    if (!runtime->finds.empty()) {
      ScriptedRuntime::answer(runtime->finds, Expected<std::optional<runtime::Image>>{
                                                  runtime::Image{"busybox", "sha256:1", {}}});
      kit.run();
    }
  }

  void started() {
    runtime::StartedContainer container;
    container.container = {runtime->start_requests.back().container_name, "c0ffee", {}};
    ScriptedRuntime::answer(runtime->starts, Expected<runtime::StartedContainer>{container});
    kit.run();
  }

  void exit(int code) {
    runtime->exits.back()(TaskExit{Exited{code}, false, {}});
    kit.run();
  }

  Answer<Expected<TaskExit>> wait(const std::string& id = spec().id) {
    Answer<Expected<TaskExit>> answer;
    act::tell(driver, actors::WaitTask{id, answer.reply()});
    kit.run();
    return answer;
  }

  Answer<Expected<void>> stop(std::chrono::nanoseconds timeout, const std::string& signal = "") {
    Answer<Expected<void>> answer;
    act::tell(driver, actors::StopTask{spec().id, timeout, signal, answer.reply()});
    kit.run();
    return answer;
  }

  Answer<Expected<void>> destroy(bool force) {
    Answer<Expected<void>> answer;
    act::tell(driver, actors::DestroyTask{spec().id, force, answer.reply()});
    kit.run();
    return answer;
  }

  Answer<Expected<void>> signal(const std::string& name) {
    Answer<Expected<void>> answer;
    act::tell(driver, actors::SignalTask{spec().id, name, answer.reply()});
    kit.run();
    return answer;
  }

  // How many there are that fail by it.
  int crash(const std::string& actor, const std::string& task_id = {}) const {
    return messages->crash(actor, task_id).value();
  }

  bool has_event(const std::string& part) const {
    for (const auto& event : events->values) {
      if (event.message.find(part) != std::string::npos) return true;
    }
    return false;
  }

  struct Caf {
    Caf() { prepare_caf(); }
  } caf;
  act::Testkit kit;
  std::shared_ptr<ScriptedRuntime> runtime = std::make_shared<ScriptedRuntime>();
  std::shared_ptr<Collected<TaskEvent>> events = std::make_shared<Collected<TaskEvent>>();
  std::shared_ptr<CountedMetrics> metrics = std::make_shared<CountedMetrics>();
  bool serves = true;  // whether a metrics_address can be listened on
  // What tests inject faults with.
  std::shared_ptr<runtime::FaultyRuntime> faults =
      std::make_shared<runtime::FaultyRuntime>(runtime);
  std::shared_ptr<actors::MessageFaults> messages = std::make_shared<actors::MessageFaults>();
  caf::actor driver;

 private:
  actors::DriverOptions options() {
    actors::DriverOptions options;
    options.make_runtime = [this](const PluginConfig&) {
      return std::shared_ptr<runtime::ContainerRuntime>{faults};
    };
    options.metrics = metrics;
    options.serve_metrics = [this](const std::string&) -> Expected<void> {
      if (serves) return {};
      return fail({.code = ErrorCode::kInvalidConfig, .what = "listen for metrics"});
    };
    return options;
  }
};

}  // namespace ndc::test
