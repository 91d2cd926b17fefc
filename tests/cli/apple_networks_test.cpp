// The networks that tasks of one allocation share, over the stand-in.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/apple_node.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

// Another task of the allocation, which joins the network of "main".
struct Companion {
  Awaited<TaskExit> exited;
  Awaited<Expected<StartedContainer>> started;

  explicit Companion(const Node& node) {
    auto spec = std::make_shared<TaskSpec>(*node.spec);
    spec->name = "side";
    spec->id = spec->alloc_id + "/side/12345678";
    auto config = std::make_shared<TaskConfig>();
    config->image = "demo:1";
    config->command = "/bin/sh";
    config->args = {"-c", "[ -n \"$NOMAD_PEER_IP_MAIN\" ] && exit 7"};
    config->network_mode = {NetworkMode::Kind::kTask, "main"};
    StartRequest request;
    request.spec = spec;
    request.config = config;
    request.image = {"demo:1", "sha256:0", std::nullopt};
    request.container_name = "nomad-side-0a1b2c3d";
    request.labels = {{"nomad.task_id", spec->id}, {"nomad.alloc_id", spec->alloc_id}};
    node.runtime->start(
        request, [exits = exited](TaskExit exit) { exits.set(std::move(exit)); },
        [starts = started](Expected<StartedContainer> result) { starts.set(std::move(result)); });
  }
};

void by_its_own_name(TaskConfig& config) {
  config.network_mode = {NetworkMode::Kind::kTask, "main"};
}

std::string said(const std::vector<std::string>& notes) {
  std::string out;
  for (const std::string& note : notes) out += note + "\n";
  return out;
}

}  // namespace

TEST_CASE("a task finds the other one whose network it joins, also if that starts later") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    Companion side{node};
    const Awaited<TaskExit> exited;
    const auto main = node.start("sleep 30", exited);
    REQUIRE(main);
    const auto started = side.started.get(kLong);
    INFO((started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(side.exited.get(kLong).status == ExitStatus{Exited{7}});
    CHECK(contains(said(started->notes), "127.0.0.1 is not shared"));
    CHECK(contains(said(started->notes), "not private"));
    CHECK(node.calls("network create") == 0);
    CHECK(node.remove(started->container));
    CHECK(node.remove(main->container));
  }
}

TEST_CASE("tasks of an allocation have a private network if the one they join asks for it") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    Companion side{node};
    const Awaited<TaskExit> exited;
    const auto main = node.start("sleep 30", exited, by_its_own_name);
    INFO((main ? std::string{} : main.error().message()));
    REQUIRE(main);
    const auto started = side.started.get(kLong);
    REQUIRE(started);
    CHECK(side.exited.get(kLong).status == ExitStatus{Exited{7}});
    CHECK(contains(said(started->notes), "127.0.0.1 is not shared"));
    CHECK(!contains(said(started->notes), "not private"));
    for (const char* id : {"nomad-main-0a1b2c3d", "nomad-side-0a1b2c3d"}) {
      CHECK(contains(node.ask("inspect " + std::string{id}), node.network));
    }
    // The first to go leaves it, the last one takes it along, in a plugin that did not make it.
    CHECK(node.remove(main->container));
    CHECK(contains(node.networks(), node.network));
    node.restart();
    CHECK(node.remove(started->container));
    CHECK(!contains(node.networks(), node.network));
  }
}

TEST_CASE("a private network that is there already is adopted if it is the allocation's") {
  Node node;
  node.ask("network create --label nomad.alloc-id=" + node.spec->alloc_id + " " + node.network);
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited, by_its_own_name);
  INFO((started ? std::string{} : started.error().message()));
  REQUIRE(started);
  CHECK(node.remove(started->container));
  CHECK(!contains(node.networks(), node.network));

  node.ask("network create " + node.network);
  const Awaited<TaskExit> never;
  const auto refused = node.start("true", never, by_its_own_name);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::kAlreadyExists);
  CHECK(contains(refused.error().message(), "container network delete " + node.network));
  CHECK(contains(node.networks(), node.network));
}

TEST_CASE("a private network that goes between its making and its use is made again") {
  Node node;
  node.fault("create", "exit 1 network " + node.network + " not found times 1");
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited, by_its_own_name);
  INFO((started ? std::string{} : started.error().message()));
  REQUIRE(started);
  CHECK(node.calls("network create") == 2);
  CHECK(node.remove(started->container));
}

TEST_CASE("a start that fails leaves no private network") {
  Node node;
  const Awaited<TaskExit> never;
  CHECK(!node.start("", never, [](TaskConfig& c) {
    by_its_own_name(c);
    c.command = "/no/such/file";
  }));
  CHECK(!contains(node.networks(), node.network));
  node.fault("network-create", "exit 64 Unexpected argument 'network'");
  const auto refused = node.start("true", never, by_its_own_name);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(contains(refused.error().message(), "update macOS"));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("private networks that a dead plugin left are swept, those of other nodes are not") {
  Node node;
  node.config.gc.dangling_containers.creation_grace = 0s;
  node.restart();
  node.spec->node_id = "node-1";
  const auto make = [&](const std::string& alloc, const std::string& of) {
    node.ask("network create --label nomad.alloc-id=" + alloc + " --label nomad.node-id=" + of +
             " nomad-" + alloc);
  };
  make("aaaa", "node-1");
  make("bbbb", "node-2");
  node.ask("network create nomad-cccc");
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited, by_its_own_name);
  REQUIRE(started);
  const Awaited<Expected<std::vector<FoundContainer>>> listed;
  node.runtime->list_containers(
      [listed](Expected<std::vector<FoundContainer>> found) { listed.set(std::move(found)); });
  const auto found = listed.get(kLong);
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  CHECK(eventually([&] { return !contains(node.networks(), "nomad-aaaa"); }, kLong));
  const std::string left = node.networks();
  CHECK(contains(left, "nomad-bbbb"));
  CHECK(contains(left, "nomad-cccc"));
  CHECK(contains(left, node.network));
  // What the reaper removes takes its network along too.
  CHECK(node.remove(found->front().container));
  CHECK(!contains(node.networks(), node.network));
}

// Its image may have to be pulled, and that takes longer than any call of the engine.
TEST_CASE("a task whose start takes longer than a command may is waited for all the same") {
  Node node{"1.2.2", "NDC_STANDIN_START_MS=4000\n"};
  node.config.command_timeout = 2s;
  node.restart();
  Companion side{node};
  const Awaited<TaskExit> exited;
  const auto main = node.start("sleep 30", exited);
  REQUIRE(main);
  const auto started = side.started.get(kLong);
  INFO((started ? std::string{} : started.error().message()));
  REQUIRE(started);
  CHECK(side.exited.get(kLong).status == ExitStatus{Exited{7}});
  CHECK(node.remove(started->container));
  CHECK(node.remove(main->container));
}

TEST_CASE("the network of a task that never runs is waited for within bounds") {
  Node node;
  node.config.command_timeout = 1400ms;
  node.config.image_pull_timeout = 50ms;
  node.restart();
  const Awaited<TaskExit> never;
  const auto started = node.start("true", never, [](TaskConfig& c) {
    c.network_mode = {NetworkMode::Kind::kTask, "db"};
  });
  REQUIRE(!started);
  CHECK(started.error().code == ErrorCode::kTimeout);
  CHECK(contains(started.error().message(), "\"db\""));
  CHECK(contains(started.error().message(), "within 1s450ms"));
  CHECK(!std::filesystem::exists(node.files()));
}
