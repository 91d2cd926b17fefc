// The actors that serve all tasks crash here; what is open on them goes on with their successors.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "actors/fixture.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

void crash(Fixture& f, const char* actor) {
  REQUIRE(f.crash(actor) == 1);
  f.kit.run();
}

auto events_of(const Fixture& f, const std::string& task_id, const std::string& message = {}) {
  return std::count_if(f.events->values.begin(), f.events->values.end(), [&](const auto& event) {
    return event.task_id == task_id && (message.empty() || event.message == message);
  });
}

TEST_CASE("a stream of events goes on after the event actor failed, for all who emit") {
  Fixture f;
  f.run_task();
  crash(f, "event_actor");
  CHECK(f.metrics->restarts == std::vector<std::string>{"event actor"});
  CHECK_FALSE(f.events->ended);
  // The driver actor, a task that ran before, one that starts after it, the image actor.
  CHECK(f.has_event("Restarted helper: the driver's event actor failed"));
  f.stop(5s);
  CHECK(events_of(f, Fixture::spec().id, "Sent SIGTERM") == 1);
  const TaskSpec next = Fixture::spec("next");
  f.run_task(next);
  CHECK(events_of(f, next.id) == 1);
  const TaskSpec pulls = Fixture::spec("pulls");
  f.start(pulls);
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  ScriptedRuntime::answer(f.runtime->finds, Expected<std::optional<runtime::Image>>{std::nullopt});
  f.kit.run();
  CHECK(events_of(f, pulls.id) == 1);
}

TEST_CASE("a helper that fails too often pauses for the window, then serves what is still open") {
  Fixture f;
  f.run_task();
  for (int i = 0; i < 4; ++i) crash(f, "event_actor");
  CHECK(f.crash("event_actor") == 0);
  f.kit.advance(59s, 1s);
  CHECK(f.crash("event_actor") == 0);
  f.kit.advance(2s, 1s);
  CHECK_FALSE(f.events->ended);
  f.stop(5s);
  CHECK(events_of(f, Fixture::spec().id, "Sent SIGTERM") == 1);
}

TEST_CASE("a fingerprint stream goes on after the fingerprint actor failed") {
  Fixture f;
  Answer<Expected<void>> configured;
  act::tell(f.driver, actors::SetConfig{{}, {}, configured.reply()});
  auto stream = std::make_shared<Collected<Fingerprint>>();
  act::tell(f.driver, actors::WatchFingerprint{stream});
  f.kit.run();
  const auto answer = [&](Health health) {
    REQUIRE_FALSE(f.runtime->probes.empty());
    ScriptedRuntime::answer(f.runtime->probes, Fingerprint{health, "it is as it is", {}});
    f.kit.run();
  };
  SECTION("while nothing was under way") {
    answer(Health::kHealthy);
    REQUIRE(stream->values.size() == 1);
    crash(f, "fingerprint_actor");
    CHECK(f.runtime->probes.size() == 1);  // at once: the successor knows nothing yet
    answer(Health::kUnhealthy);
    CHECK(stream->values.size() == 2);
  }
  SECTION("while the runtime was being asked") {
    crash(f, "fingerprint_actor");
    CHECK(f.runtime->probes.size() == 2);
    answer(Health::kHealthy);
    CHECK(stream->values.empty());  // that was for the one that failed
    answer(Health::kUnhealthy);
    CHECK(stream->values.size() == 1);
  }
  REQUIRE_FALSE(stream->values.empty());
  CHECK(stream->values.back().health == Health::kUnhealthy);
  CHECK_FALSE(stream->ended);
  CHECK(f.metrics->restarts == std::vector<std::string>{"fingerprint actor"});
  // It still looks by itself, and hears of doubts.
  f.kit.advance(6s, 100ms);
  REQUIRE(f.runtime->probes.size() == 1);
  answer(Health::kHealthy);
  CHECK(stream->values.back().health == Health::kHealthy);
  f.runtime->doubt();
  f.kit.advance(100ms);
  CHECK(f.runtime->probes.size() == 1);
}

TEST_CASE("usage streams go on after the stats sampler failed, also in the midst of a sample") {
  Fixture f;
  f.run_task();
  auto stream = std::make_shared<Collected<ResourceUsage>>();
  act::tell(f.driver, actors::WatchUsage{Fixture::spec().id, 1s, stream});
  f.kit.advance(100ms, 10ms);
  REQUIRE(f.runtime->samples.size() == 1);
  crash(f, "stats_sampler_actor");
  f.kit.advance(100ms, 10ms);
  REQUIRE(f.runtime->samples.size() == 2);
  UsageSample sample;
  sample.taken = std::chrono::steady_clock::time_point{10s};
  sample.cpu_total = 1s;
  const auto give = [&] {
    const std::vector<runtime::UsageReading> readings{{f.runtime->sampled.front(), sample}};
    ScriptedRuntime::answer(f.runtime->samples, readings);
    f.kit.run();
  };
  give();  // to the one that failed
  CHECK(stream->values.empty());
  give();
  CHECK(stream->values.size() == 1);
  sample.taken += 1s;
  sample.cpu_total = 1s + 500ms;
  f.kit.advance(1s, 100ms);
  REQUIRE(f.runtime->samples.size() == 1);
  give();
  REQUIRE(stream->values.size() == 2);
  CHECK(stream->values[1].cpu_percent == 50.0);
  CHECK_FALSE(stream->ended);
  CHECK(f.has_event("Restarted helper: the driver's stats sampler failed"));
  f.exit(0);
  CHECK(stream->ended);
}

TEST_CASE("usage that is wanted hardly ever does not come with every sample") {
  Fixture f;
  PluginConfig config;
  config.metrics_address = "127.0.0.1:9106";
  Answer<Expected<void>> configured;
  act::tell(f.driver, actors::SetConfig{config, {}, configured.reply()});
  f.kit.run();
  f.run_task();
  auto stream = std::make_shared<Collected<ResourceUsage>>();
  act::tell(f.driver,
            actors::WatchUsage{Fixture::spec().id, std::chrono::nanoseconds::max(), stream});
  f.kit.advance(100ms, 10ms);
  for (const auto taken : {10s, 20s}) {  // for the metrics
    REQUIRE(f.runtime->samples.size() == 1);
    UsageSample sample;
    sample.taken = std::chrono::steady_clock::time_point{taken};
    sample.cpu_total = 1s;
    ScriptedRuntime::answer(f.runtime->samples, std::vector<runtime::UsageReading>{
                                                    {f.runtime->sampled.front(), sample}});
    f.kit.advance(10s, 100ms);
  }
  CHECK(stream->values.size() == 1);
}

TEST_CASE("a late goodbye of a usage actor does not end what its successor is told") {
  Fixture f;
  f.run_task();
  auto stream = std::make_shared<Collected<ResourceUsage>>();
  act::tell(f.driver, actors::WatchUsage{Fixture::spec().id, 1s, stream});
  f.kit.run();
  REQUIRE(f.messages->delay({"stats_actor", Fixture::spec().id, "Stop"}, 3s));
  CHECK(f.crash("task_actor", Fixture::spec().id) == 1);
  f.kit.run();
  ScriptedRuntime::answer(f.runtime->attaches,
                          Expected<runtime::Attached>{runtime::StillRunning{}});
  const auto sample = [&] {
    while (!f.runtime->samples.empty()) {
      UsageSample now;
      now.taken = std::chrono::steady_clock::time_point{};
      ScriptedRuntime::answer(f.runtime->samples, std::vector<runtime::UsageReading>{
                                                      {f.runtime->sampled.front(), now}});
      f.kit.run();
    }
  };
  for (int second = 0; second < 5; ++second) {
    f.kit.advance(1s, 100ms);
    sample();
  }
  CHECK(f.messages->struck() == 2);
  const int before = f.runtime->count("sample");
  f.kit.advance(2s, 100ms);
  CHECK(f.runtime->count("sample") > before);
}

TEST_CASE("an image actor that was not told of the runtime refuses what it is asked for") {
  Fixture f;
  f.run_task();
  REQUIRE(f.messages->drop({"image_actor", "", "UseRuntime"}));
  CHECK(f.crash("image_actor") == 1);
  f.kit.run();
  const auto started = f.start(Fixture::spec("other"));
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  REQUIRE(started.arrived());
  CHECK(started.value().error().recoverable());
}

}  // namespace
}  // namespace ndc::test
