// The image actor crashes, or a request to it is lost: starts go on, and no more is pulled at a
// time than is allowed.

#include "actors/fixture.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

using Started = Answer<Expected<actors::TaskStarted>>;

// A start that has asked for its image.
Started start_checked(Fixture& f, const TaskSpec& task = Fixture::spec()) {
  auto started = f.start(task);
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  return started;
}

// Every search that is open, that for a crashed actor too.
void find_all(Fixture& f, const std::optional<runtime::Image>& image) {
  while (!f.runtime->finds.empty()) {
    ScriptedRuntime::answer(f.runtime->finds, Expected<std::optional<runtime::Image>>{image});
    f.kit.run();
  }
}

bool completes(Fixture& f, const Started& started) {
  find_all(f, runtime::Image{"busybox", "sha256:1", {}});
  if (f.runtime->starts.size() != 1) return false;
  f.started();
  return started.arrived() && started.value().has_value();
}

void crash(Fixture& f, const char* actor) {
  CHECK(f.crash(actor) == 1);
  f.kit.run();
}

TEST_CASE("the news of a lost request asks the successor that was heard of before it") {
  Fixture f;
  REQUIRE(f.messages->delay({"task_actor", Fixture::spec().id, "ImageReady"}, 1500ms));
  const auto started = start_checked(f);
  crash(f, "image_actor");
  CHECK(f.runtime->count("find busybox") == 1);
  f.kit.advance(1600ms, 100ms);
  CHECK(f.runtime->count("find busybox") == 2);
  CHECK(completes(f, started));
}

TEST_CASE("a request that is lost on its way to a living image actor is made again") {
  const int times = GENERATE(1, 3);
  Fixture f;
  REQUIRE(f.messages->drop({"image_actor", "", "EnsureImage"}, times));
  const auto started = start_checked(f);
  CHECK(f.runtime->count("find busybox") == 0);
  f.kit.advance(times * 5s, 100ms);  // each time it waits for its turn
  CHECK(f.messages->struck() == times);
  CHECK(f.runtime->count("find busybox") == 1);
  CHECK(completes(f, started));
}

TEST_CASE("a start waits for an image actor that pauses, whatever other helpers do meanwhile") {
  Fixture f;
  for (int i = 0; i < 4; ++i) crash(f, "image_actor");
  CHECK(f.crash("image_actor") == 0);
  const auto started = start_checked(f);
  crash(f, "stats_sampler_actor");
  f.kit.advance(5s, 1s);
  crash(f, "reaper_actor");
  CHECK_FALSE(started.arrived());
  f.kit.advance(65s, 1s);
  CHECK(f.runtime->count("find busybox") == 1);
  CHECK(completes(f, started));
}

TEST_CASE("an image that the successor fails at, too, fails the start") {
  Fixture f;
  f.faults->raise({runtime::Call::kFindImage, "", runtime::Calls::kAlways});
  const auto started = start_checked(f);
  f.kit.advance(5s, 100ms);
  REQUIRE(started.arrived());
  CHECK(started.value().error().recoverable());
  CHECK(started.value().error().message().find("image actor failed") != std::string::npos);
  CHECK(f.faults->struck() == 2);
}

TEST_CASE("an image that image actors fail at fails nobody who waits for another one") {
  Fixture f;
  // That of one of them is under way, or they begin together.
  const auto before = GENERATE(5s, 0s);
  const auto patient = start_checked(f);
  if (before > 0s) {
    find_all(f, std::nullopt);
    REQUIRE(f.runtime->pulls.size() == 1);
  }
  f.kit.advance(before, 1s);
  f.faults->raise({runtime::Call::kFindImage, "poison", runtime::Calls::kAlways});
  TaskSpec poisoned = Fixture::spec("poisoned");
  poisoned.config.data = Value::Map{{"image", Value{std::string{"poison"}}}};
  const auto failed = start_checked(f, poisoned);
  for (int i = 0; i < 120; ++i) {
    f.kit.advance(100ms, 100ms);
    if (before == 0s) find_all(f, runtime::Image{"busybox", "sha256:1", {}});
  }
  REQUIRE(failed.arrived());
  CHECK(failed.value().error().message().find("image actor failed") != std::string::npos);
  CHECK(f.faults->struck() == 2);
  CHECK_FALSE(patient.arrived());
  CHECK(completes(f, patient));
}

TEST_CASE("news that the image actor fails at do not come for ever") {
  Fixture f;
  f.run_task();
  REQUIRE(f.messages->crash_on({"image_actor", "", "ImageUsed"}, actors::MessageFaults::kAlways));
  crash(f, "image_actor");
  CHECK(f.messages->struck() == 4);
  CHECK(f.has_event("image actor failed too often and pauses for 1m"));
  f.kit.advance(10min, 1s);
  CHECK(f.messages->struck() == 4);
  CHECK(f.crash("image_actor") == 1);  // there is one
}

TEST_CASE("a pull that goes on without its image actor counts among those allowed at a time") {
  Fixture f;
  PluginConfig config;
  config.max_concurrent_pulls = 1;
  Answer<Expected<void>> configured;
  act::tell(f.driver, actors::SetConfig{config, {}, configured.reply()});
  f.kit.run();
  const auto started = start_checked(f);
  find_all(f, std::nullopt);
  CHECK(f.runtime->count("pull busybox") == 1);
  crash(f, "image_actor");
  f.kit.advance(5s, 100ms);
  find_all(f, std::nullopt);
  CHECK(f.runtime->count("find busybox") == 2);
  CHECK(f.runtime->count("pull busybox") == 1);
  const auto pulled = [&] {
    REQUIRE_FALSE(f.runtime->pulls.empty());
    ScriptedRuntime::answer(f.runtime->pulls,
                            Expected<runtime::Image>{runtime::Image{"busybox", "sha256:1", {}}});
    f.kit.run();
  };
  pulled();
  CHECK(f.runtime->count("pull busybox") == 2);
  pulled();
  CHECK(completes(f, started));
}

}  // namespace
}  // namespace ndc::test
