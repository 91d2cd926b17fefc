// What the actors tell the metrics: nothing is counted twice, nothing is left of what has ended.

#include "actors/fixture.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;
using Counts = std::map<std::string, int>;

struct Serving : Fixture {
  Serving() {
    PluginConfig config;
    config.metrics_address = "127.0.0.1:9106";
    Answer<Expected<void>> configured;
    act::tell(driver, actors::SetConfig{config, NodeCompute{}, configured.reply()});
    kit.run();
    REQUIRE(configured.value().has_value());
  }
  void sampled() {
    kit.advance(100ms);
    REQUIRE(runtime->samples.size() == 1);
    std::vector<runtime::UsageReading> readings;
    for (const ContainerRef& container : runtime->sampled) readings.push_back({container, {}});
    runtime->samples.front()(std::move(readings));
    runtime->samples.pop_front();
    kit.run();
  }
};

TEST_CASE("a task is counted in the one state that it is in, until it is gone") {
  Fixture f;
  f.start(Fixture::spec());
  CHECK(f.metrics->tasks == Counts{{"preparing", 1}});
  f.pass_checks();
  CHECK(f.metrics->tasks == Counts{{"creating", 1}});
  f.started();
  CHECK(f.metrics->tasks == Counts{{"running", 1}});
  CHECK(f.metrics->phases == std::vector{StartPhase::kCheck, StartPhase::kImage, StartPhase::kLogs,
                                         StartPhase::kContainer});
  f.exit(0);
  CHECK(f.metrics->tasks == Counts{{"exited", 1}});
  f.destroy(false);
  ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
  f.kit.run();
  CHECK(f.metrics->tasks.empty());
}

TEST_CASE("a task whose actor crashed is counted once") {
  Fixture f;
  f.run_task();
  f.faults->raise({runtime::Call::kSignal});
  f.signal("SIGHUP");
  CHECK(f.metrics->tasks == Counts{{"recovering", 1}});
  CHECK(f.metrics->restarts == std::vector<std::string>{"task actor"});
  CHECK(f.has_event("Restarted helper: the task's actor"));
}

TEST_CASE("a helper that crashed is an event of every task and is counted") {
  Fixture f;
  f.run_task();
  f.faults->raise({runtime::Call::kFindImage});
  TaskSpec other = Fixture::spec("db");
  other.config.data = Value::Map{{"image", Value{std::string{"redis"}}}};
  f.start(other);
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  CHECK(f.metrics->restarts == std::vector<std::string>{"image actor"});
  std::set<std::string> told;
  for (const TaskEvent& event : f.events->values) {
    if (event.message.find("Restarted helper: the driver's image actor") == 0) {
      told.insert(event.task_id);
    }
  }
  CHECK(told == std::set<std::string>{Fixture::spec().id, other.id});
}

TEST_CASE("with an endpoint a task is sampled though nobody else looks, and ends with its series") {
  Serving f;
  f.run_task();
  f.sampled();
  CHECK(f.metrics->with_usage == std::set<std::string>{Fixture::spec().id});
  f.exit(0);
  CHECK(f.metrics->with_usage.empty());
}

TEST_CASE("without an endpoint nobody is sampled who is not looked at") {
  Fixture f;
  f.run_task();
  f.kit.advance(30s, 1s);
  CHECK(f.runtime->samples.empty());
}

TEST_CASE("a pull is seen with its bytes while it runs, and counted by its outcome") {
  Fixture f;
  f.start(Fixture::spec());
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  ScriptedRuntime::answer(f.runtime->finds, Expected<std::optional<runtime::Image>>{std::nullopt});
  f.kit.run();
  REQUIRE(f.runtime->pull_requests.size() == 1);
  f.runtime->pull_requests.back().progress(4096);
  f.kit.run();
  REQUIRE(f.metrics->pulls.running.size() == 1);
  CHECK(f.metrics->pulls.running[0].second == 4096);
  ScriptedRuntime::answer(f.runtime->pulls,
                          Expected<runtime::Image>{fail({.code = ErrorCode::kImageNotFound})});
  f.kit.run();
  CHECK(f.metrics->pulls.running.empty());
  CHECK(f.metrics->pulls_done == std::vector{false});
}

TEST_CASE("an address that cannot be served fails SetConfig; to validate is not to serve") {
  Fixture f;
  PluginConfig config;
  config.metrics_address = "127.0.0.1:1";
  const auto configure = [&](std::optional<NodeCompute> node) {
    Answer<Expected<void>> configured;
    act::tell(f.driver, actors::SetConfig{config, node, configured.reply()});
    f.kit.run();
    return configured.value().has_value();
  };
  f.serves = false;
  CHECK(configure(std::nullopt));
  CHECK_FALSE(configure(NodeCompute{}));
  f.serves = true;
  CHECK(configure(NodeCompute{}));
}

}  // namespace
}  // namespace ndc::test
