// The adapter over the stand-in: starts, and what those that fail leave behind.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "cli/apple_node.hpp"
#include "runtime/unique_fd.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

// What the daemon says while it cleans up after an exit (contract 6.3).
constexpr const char* kBusy = "exit 1 invalidState: \"container is shutting down\"";

void without_a_program(TaskConfig& config) { config.command = "/no/such/program"; }

}  // namespace

TEST_CASE("a create may take as long as a pull") {
  Node node;
  node.config.command_timeout = 2s;
  node.restart();
  node.fault("create", "slow 3000");
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 3", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  CHECK(node.remove(started->container));
}

TEST_CASE("creates that hang are ended, and nothing else waits for them or suffers") {
  constexpr std::size_t kMoreThanSlots = 10;
  Node node;
  node.config.command_timeout = node.config.image_pull_timeout = 4s;
  node.restart();
  node.fault("create", "hang");
  const auto begun = std::chrono::steady_clock::now();
  std::vector<Awaited<Expected<StartedContainer>>> starts(kMoreThanSlots);
  for (std::size_t i = 0; i < kMoreThanSlots; ++i) {
    auto task = std::make_shared<TaskConfig>();
    task->image = "demo:1";
    StartRequest request;
    request.spec = node.spec;
    request.config = task;
    request.image = {"demo:1", "sha256:0", std::nullopt};
    request.container_name = node.id + "-" + std::to_string(i);
    node.runtime->start(
        request, [](const TaskExit&) {},
        [started = starts[i]](Expected<StartedContainer> result) {
          started.set(std::move(result));
        });
  }
  const auto looks = [&] {
    const Awaited<Expected<UsageSample>> result;
    node.runtime->sample({{node.id, node.id, {}}}, [result](std::vector<UsageReading> readings) {
      result.set(std::move(readings.at(0).sample));
    });
    return result.get(kLong).error().message();
  };
  REQUIRE(eventually([&] { return node.calls("create") > 0; }, kLong));
  CHECK(contains(looks(), "reports none"));
  const bool none_is_over =
      std::none_of(starts.begin(), starts.end(), [](const auto& each) { return each.is_set(); });
  // Where the machine is too busy for a look in that time the starts have ended in it.
  const bool in_time = std::chrono::steady_clock::now() - begun < node.config.image_pull_timeout;
  CHECK((none_is_over || !in_time));
  for (const auto& each : starts) {
    const auto started = each.get(kLong);
    REQUIRE(!started);
    // Once two of them have hung, what waits behind another one is not tried.
    CHECK((started.error().code == ErrorCode::kTimeout ||
           contains(started.error().message(), "not tried")));
    CHECK(started.error().recoverable());
    CHECK(contains(started.error().message(), "4s"));
  }
  CHECK(node.calls("create") < static_cast<int>(kMoreThanSlots));
  CHECK(contains(looks(), "reports none"));
  const Fingerprint bad = node.probe();
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "starts no containers (container create: no answer within 4s"));
  node.fault("create", "");
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 0", exited);
  REQUIRE(started);
  CHECK(node.probe().health == Health::kHealthy);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{0}});
  CHECK(node.remove(started->container));
}

TEST_CASE("creates of one task that hang again and again leave the node healthy") {
  Node node;
  node.config.image_pull_timeout = 1s;
  node.config.command_timeout = 1s;
  node.restart();
  node.fault("create", "hang");
  for (int tries = 0; tries < 3; ++tries) {
    const Awaited<TaskExit> never;
    const auto hung = node.start("exit 0", never);
    REQUIRE(!hung);
    CHECK(hung.error().code == ErrorCode::kTimeout);
  }
  CHECK(node.probe().health == Health::kHealthy);
}

TEST_CASE("a second start of a task waits for the first one and has its container") {
  Node node{"1.2.2", "NDC_STANDIN_START_MS=500\n"};
  std::filesystem::create_directories(node.directory / "alloc/main/local/run");
  const auto sockets = [](TaskConfig& c) {
    c.publish_sockets = {{"local/run/app.sock", "/run/app.sock", {}}};
  };
  const std::string go = node.directory / "go";
  const StartRequest request =
      node.request("until [ -e " + go + " ]; do sleep 0.05; done; exit 3", sockets);
  const Awaited<TaskExit> exits[3];
  const auto first = node.begin_start(request, exits[0]);
  const auto second = node.begin_start(request, exits[1]);  // while it is under way
  const auto started = first.get(kLong);
  INFO((started ? std::string{} : started.error().message()));
  REQUIRE(started);
  REQUIRE(second.get(kLong));
  const auto third = node.begin_start(request, exits[2]).get(kLong);  // when it is done
  REQUIRE(third);
  CHECK(!exits[0].is_set());
  CHECK(node.calls("create") == 1);
  CHECK(third->container == started->container);
  { const std::ofstream made{go}; }
  for (const auto& exited : exits) {
    CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
    CHECK(exited.times() == 1);
  }
  const auto late = node.begin_start(request, exits[0]).get(kLong);  // when it has ended
  REQUIRE(late);
  CHECK(node.calls("create") == 1);
  CHECK(node.remove(started->container));
}

TEST_CASE("after a start that failed the one that waited for it is tried itself") {
  Node node;
  node.fault("create", "exit 1 not today times 1");
  const Awaited<TaskExit> exits[2];
  const StartRequest request = node.request("exit 3");
  const auto first = node.begin_start(request, exits[0]);
  const auto second = node.begin_start(request, exits[1]);
  REQUIRE(!first.get(kLong));
  const auto started = second.get(kLong);
  REQUIRE(started);
  CHECK(exits[1].get(kLong).status == ExitStatus{Exited{3}});
  CHECK(!exits[0].is_set());
  CHECK(node.remove(started->container));
}

TEST_CASE("a start of a container that was found again is the container's") {
  Node node;
  const Awaited<TaskExit> exits[3];
  const StartRequest request = node.request("sleep 60");
  const auto started = node.begin_start(request, exits[0]).get(kLong);
  REQUIRE(started);
  node.restart();
  REQUIRE(node.attach(started->container, exits[1]));
  const auto again = node.begin_start(request, exits[2]).get(kLong);
  REQUIRE(again);
  CHECK(again->container == started->container);
  CHECK(!exits[1].is_set());
  CHECK(node.remove(started->container));
  CHECK(exits[2].get(kLong).status == exits[1].get(kLong).status);
}

TEST_CASE("a start that is asked for again finds the task that ended while no plugin was there") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    node.spec->stdout_path = node.directory / "out";
    REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
    const StartRequest request = node.request("echo text; exit 42");
    const Awaited<TaskExit> exits[4];
    REQUIRE(node.begin_start(request, exits[0]).get(kLong));
    CHECK(exits[0].get(kLong).status == ExitStatus{Exited{42}});
    const UniqueFd collector{
        ::open(node.spec->stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    char text[8] = {};
    REQUIRE(eventually([&] { return ::read(collector.get(), text, sizeof text) == 5; }));
    REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
    node.restart();
    // Nobody may take the record away while it is not known what became of the container.
    node.fault("list", "exit 1 no answer");
    const auto refused = node.begin_start(request, exits[1]).get(kLong);
    REQUIRE(!refused);
    CHECK(refused.error().recoverable());
    node.fault("list", "");
    node.restart();
    const auto again = node.begin_start(request, exits[2]).get(kLong);
    REQUIRE(again);
    CHECK(exits[2].get(kLong).status == ExitStatus{Exited{42}});
    CHECK(node.calls("create") == 1);
    CHECK(node.calls("start") == 1);
    // Another attempt is another task.
    node.restart();
    node.spec->id = node.spec->alloc_id + "/main/9abcdef0";
    const auto next = node.begin_start(node.request("exit 7"), exits[3]).get(kLong);
    REQUIRE(next);
    CHECK(exits[3].get(kLong).status == ExitStatus{Exited{7}});
    CHECK(node.remove(next->container));
  }
}

// Every key of the engine's answers may be missing.

TEST_CASE("a task that runs has been started, though the engine does not say when") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    node.fault("no-start-dates", "x");
    const StartRequest request = node.request("sleep 60");
    const Awaited<TaskExit> exits[2];
    const auto before = std::chrono::system_clock::now() - 2s;  // dates are whole seconds
    const auto started = node.begin_start(request, exits[0]).get(kLong);
    INFO((started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(started->started_at >= before);
    CHECK(started->started_at <= std::chrono::system_clock::now());
    // The plugin may have been killed before it answered that: the task is not started over.
    node.restart();
    const auto again = node.begin_start(request, exits[1]).get(kLong);
    INFO((again ? std::string{} : again.error().message()));
    REQUIRE(again);
    CHECK(node.calls("create") == 1);
    CHECK(node.calls("delete") == 0);
    CHECK(again->started_at >= before);
    CHECK(!exits[1].is_set());
    CHECK(node.remove(again->container));
  }
}

TEST_CASE("a record without its container does not stand in the way of a start") {
  Node node;
  const StartRequest request = node.request("exit 42");
  const Awaited<TaskExit> exits[2];
  REQUIRE(node.begin_start(request, exits[0]).get(kLong));
  CHECK(exits[0].get(kLong).status == ExitStatus{Exited{42}});
  REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
  node.ask("delete --force " + node.id);
  node.restart();
  const auto started = node.begin_start(request, exits[1]).get(kLong);
  REQUIRE(started);
  CHECK(exits[1].get(kLong).status == ExitStatus{Exited{42}});
  CHECK(node.calls("create") == 2);
  CHECK(node.remove(started->container));
}

TEST_CASE("a leftover of the same allocation is replaced, a stranger's container is not") {
  Node node;
  const std::string cli = node.directory / "container";
  (void)run(*node.loop, shell(cli + " create --name " + node.id +
                              " --label nomad.alloc_id=" + node.spec->alloc_id + " -- demo:1"));
  const Awaited<TaskExit> exited;
  auto started = node.start("exit 0", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{0}});
  CHECK(node.remove(started->container));
  (void)run(*node.loop, shell(cli + " create --name " + node.id + " -- demo:1"));
  const Awaited<TaskExit> never;
  started = node.start("exit 0", never);
  REQUIRE(!started);
  CHECK(started.error().code == ErrorCode::kAlreadyExists);
  CHECK(contains(started.error().message(), "delete --force"));
}

TEST_CASE("a create that was killed or broke off leaves no container") {
  for (const char* fault : {"die-after", "xpc-after"}) {
    Node node;
    node.fault("create", fault);
    const Awaited<TaskExit> never;
    const auto started = node.start("exit 0", never);
    REQUIRE(!started);
    CHECK(started.error().code == ErrorCode::kRuntimeUnavailable);
    CHECK(node.calls("create") == 1);
    CHECK(!contains(node.ask("list --all --quiet"), node.id));
    CHECK(!std::filesystem::exists(node.files()));
  }
}

TEST_CASE("a start that fails removes its container though the engine refuses that at first") {
  Node node;
  node.fault("delete", std::string{kBusy} + " times 2");
  const Awaited<TaskExit> never;
  const auto failed = node.start("", never, without_a_program);
  REQUIRE(!failed);
  CHECK(failed.error().code == ErrorCode::kStartFailed);
  CHECK(!contains(failed.error().message(), "shutting down"));
  CHECK(node.calls("delete") == 3);
  CHECK(!contains(node.ask("list --all --quiet"), node.id));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a leftover is replaced though the engine refuses its removal at first") {
  Node node;
  node.ask("create --name " + node.id + " --label nomad.alloc_id=" + node.spec->alloc_id +
           " -- demo:1");
  node.fault("delete", std::string{kBusy} + " times 2");
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 3", exited);
  INFO((started ? std::string{} : started.error().message()));
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  CHECK(node.remove(started->container));
}

TEST_CASE("what a failed start could not remove is found later, and known for what it is") {
  Node node;
  node.fault("delete", kBusy);
  const Awaited<TaskExit> never;
  const auto failed = node.start("", never, without_a_program);
  REQUIRE(!failed);
  CHECK(failed.error().code == ErrorCode::kStartFailed);
  CHECK(contains(failed.error().message(), "shutting down"));
  CHECK(std::filesystem::exists(node.files()));
  node.restart();
  auto found = found_on(node);
  REQUIRE(found.size() == 1);
  CHECK(found.front().start_failed);
  node.fault("delete", "");
  CHECK(node.remove(found.front().container));
  CHECK(found_on(node).empty());
  CHECK(!std::filesystem::exists(node.files()));

  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 3", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  found = found_on(node);
  REQUIRE(found.size() == 1);
  CHECK(!found.front().start_failed);
  CHECK(node.remove(started->container));
}

TEST_CASE("where nobody can tell whether a failed create made a container, its files stay") {
  Node node;
  node.fault("create", "die-after");
  node.fault("list", "exit 1 no answer");
  const Awaited<TaskExit> never;
  REQUIRE(!node.start("exit 0", never));
  CHECK(std::filesystem::exists(node.files()));
  node.fault("list", "");
  node.fault("create", "");
  const auto found = found_on(node);
  REQUIRE(found.size() == 1);
  CHECK(found.front().start_failed);
  CHECK(node.remove(found.front().container));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a create that failed touches no stranger's container and tells its own reason") {
  Node node;
  const std::string cli = node.directory / "container";
  (void)run(*node.loop, shell(cli + " create --name " + node.id + " -- demo:1"));
  node.fault("create", "exit 1 internalError: \"it timed out\"");
  const Awaited<TaskExit> never;
  auto started = node.start("exit 0", never);
  REQUIRE(!started);
  CHECK(started.error().code == ErrorCode::kTimeout);
  CHECK(contains(started.error().message(), "it timed out"));
  CHECK(!contains(started.error().message(), "network"));
  node.fault("list", "exit 1 no answer");
  node.fault("create", "exit 1 not today");
  started = node.start("exit 0", never);
  REQUIRE(!started);
  CHECK(started.error().recoverable());
  CHECK(contains(started.error().message(), "not today"));
  node.fault("list", "");
  CHECK(contains(node.ask("list --all --quiet"), node.id));
}
