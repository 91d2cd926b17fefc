// The adapter over the stand-in: what it asks of an engine that hangs or refuses, and what it tells
// of it.
#include <chrono>
#include <string>
#include <vector>

#include "cli/apple_node.hpp"
#include "runtime/ended_already.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

TEST_CASE("every call to a daemon that hangs is bounded, and the breaker opens and closes") {
  Node node;
  node.config.command_timeout = 1s;
  node.restart();
  // A busy machine may take longer than the time-out for one call.
  const auto recovers = [&] {
    return eventually([&] { return node.probe().health == Health::kHealthy; }, kLong);
  };
  CHECK(recovers());
  node.fault("list", "hang");
  using Listing = Awaited<Expected<std::vector<FoundContainer>>>;
  const auto list = [&] {
    const Listing result;
    node.runtime->list_containers([result](auto found) { result.set(std::move(found)); });
    return result;
  };
  const auto sample = [&] {
    const Awaited<Expected<UsageSample>> result;
    node.runtime->sample({{node.id, node.id, {}}}, [result](std::vector<UsageReading> readings) {
      result.set(std::move(readings.at(0).sample));
    });
    return result.get(kLong).error().message();
  };
  // All in the time of one, and each a call of its own: later askers share none that has begun.
  std::vector<Listing> hanging;
  for (int i = 0; i < 5; ++i) {
    hanging.push_back(list());
    settle(*node.loop);
  }
  for (const Listing& each : hanging) REQUIRE(!each.get(kLong));
  std::string last;
  for (int i = 0; i < 2; ++i) {
    const auto answer = list().get(kLong);
    REQUIRE(!answer);
    last = answer.error().message();
  }
  CHECK(contains(last, "not tried"));
  CHECK(contains(sample(), "not tried"));
  CHECK(eventually(
      [&] {
        const Fingerprint bad = node.probe();
        return bad.health == Health::kUnhealthy &&
               contains(bad.description, "container system start");
      },
      kLong));
  node.fault("list", "");
  CHECK(recovers());
  CHECK(eventually([&] { return contains(sample(), "reports none"); }, kLong));
}

// It takes two seconds as a rule, so that its limit is never short.

TEST_CASE("a question for usage that hangs is ended") {
  Node node;
  node.config.command_timeout = 200ms;
  node.restart();
  node.fault("stats", "hang");
  const Awaited<Error> failed;
  node.runtime->sample({{node.id, node.id, {}}}, [failed](std::vector<UsageReading> readings) {
    if (const auto& usage = readings.at(0).sample; !usage) failed.set(usage.error());
  });
  CHECK(failed.get(kLong).code == ErrorCode::kTimeout);
}

// The engine fetches its kernel and its init image when they are missed first.

TEST_CASE("a signal that reaches nobody is an error, a stop of what has ended is not") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 0", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{0}});
  REQUIRE(eventually([&] { return !contains(node.ask("list --quiet"), node.id); }, kLong));
  const auto signal = [&] {
    return node.call([&](Done<void> done) { node.runtime->signal(started->container, 1, done); });
  };
  const auto stop = [&] {
    return node.call([&](Done<void> done) { node.runtime->stop(started->container, done); });
  };
  auto sent = signal();
  REQUIRE(!sent);
  CHECK(sent.error().code == ErrorCode::kWrongState);
  CHECK(ended_already(sent.error()));
  CHECK(stop());
  CHECK(node.remove(started->container));
  sent = signal();
  REQUIRE(!sent);
  CHECK(sent.error().code == ErrorCode::kContainerGone);
  CHECK(stop());
}

TEST_CASE("a container that was removed behind our back is gone, and not an exit code") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.kill_monitor();
  (void)run(*node.loop, shell(node.directory / "container" + " delete --force " + node.id));
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(!attached);
  CHECK(attached.error().code == ErrorCode::kContainerGone);
  CHECK(node.remove(started->container));
}

TEST_CASE("the health of a node names the cure") {
  Node node;
  node.fault("daemon-down", "x");
  Fingerprint bad = node.probe();
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "container system start"));
  node.fault("daemon-down", "");
  node.fault("daemon-version", "1.0.0");
  bad = node.probe();
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "1.0.0"));
  node.fault("daemon-version", "");
  CHECK(node.probe().health == Health::kHealthy);
  node.config.container_path = "/no/such/container";
  node.restart();
  CHECK(node.probe().health == Health::kUndetected);
}

TEST_CASE("statistics of many containers are one call, and missing ones are errors") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  const int before = node.calls("stats");
  const Awaited<std::vector<UsageReading>> result;
  node.runtime->sample({started->container, ContainerRef{"other", "other", {}}},
                       [result](std::vector<UsageReading> got) { result.set(std::move(got)); });
  const auto readings = result.get(kLong);
  REQUIRE(readings.size() == 2);
  CHECK(readings[0].sample);
  CHECK(!readings[1].sample);
  CHECK(node.calls("stats") == before + 1);
  CHECK(node.remove(started->container));
}

TEST_CASE("a slow pull is not taken for one that stands still") {
  Node node;
  node.fault("image-pull", "slow 400");
  PullRequest request;
  request.image.reference = "demo:1";
  request.timeout = 20s;
  request.stall_timeout = 50ms;  // the CLI tells no progress by which to judge
  const Awaited<Expected<Image>> result;
  node.runtime->pull_image(request, [result](Expected<Image> got) { result.set(std::move(got)); });
  CHECK(result.get(kLong));
}
