// One call of the CLI: where it is found, and what starts that hang say about the engine.
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/apple_node.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/apple_networks.hpp"
#include "runtime/apple_probe.hpp"
#include "runtime/apple_start.hpp"
#include "support/places.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

Fingerprint probe(const Node& node, const std::shared_ptr<AppleCli>& cli,
                  const std::optional<VersionNumber>& macos = std::nullopt) {
  const Awaited<Fingerprint> result;
  node.loop->post([&] {
    apple_probe(cli, node.config, macos, [result](Fingerprint got) { result.set(std::move(got)); });
  });
  return result.get(kLong);
}

}  // namespace

TEST_CASE("a CLI that is installed while the plugin runs is found, and again where it moves to") {
  Node node;
  node.config.container_path.clear();
  const std::string first = node.directory / "first-place";
  const std::string second = node.directory / "second-place";
  const auto cli =
      std::make_shared<AppleCli>(*node.loop, node.config, std::vector<std::string>{first, second});
  const Fingerprint missing = probe(node, cli);
  CHECK(missing.health == Health::kUndetected);
  CHECK(contains(missing.description, "brew install container"));
  std::filesystem::create_symlink(places::standin, second);
  CHECK(probe(node, cli).health == Health::kHealthy);
  std::filesystem::rename(second, first);
  CHECK(probe(node, cli).health == Health::kHealthy);
  CHECK(cli->command(AppleCall::list_all()).argv.front() == first);
  CHECK(cli->program() == first);
}

TEST_CASE("a macOS that is too old is told before a service that is down") {
  const Node node;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  node.fault("daemon-down", "x");
  const Fingerprint old = probe(node, cli, VersionNumber{15, 4, 0});
  CHECK(old.health == Health::kUnhealthy);
  CHECK(contains(old.description, "macOS 15.4.0 is too old"));
  CHECK(contains(old.description, "softwareupdate --install --all --restart"));
  CHECK(!contains(old.description, "system start"));
  CHECK(node.calls("system status") == 0);
  CHECK(contains(probe(node, cli, VersionNumber{26, 0, 0}).description, "container system start"));
}

TEST_CASE("a service that does not say what is the matter with it is told in its CLI's words") {
  const Node node;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  node.fault("system-version", "xpc");
  node.fault("system-status", "exit 1 the launchd domain cannot be reached");
  const Fingerprint bad = probe(node, cli);
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "(the launchd domain cannot be reached)"));
  CHECK(contains(bad.description, "container system start"));
  node.fault("system-status", "xpc");  // the JSON has the word for it
  CHECK(probe(node, cli).description ==
        "the service of Apple's container is not running: container system start");
}

TEST_CASE("a node in order costs one call, as long as the CLI stays the same file") {
  for (const char* version : {"0.11.0", "0.12.3", "1.0.0", "1.1.0", "1.2.2"}) {
    const Node node{version};
    const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
    for (int probes = 1; probes <= 3; ++probes) {
      const Fingerprint good = probe(node, cli);
      CHECK(good.health == Health::kHealthy);
      CHECK(good.attributes.at("driver.container.runtime_version") ==
            AttributeValue{std::string{version}});
      CHECK(node.calls("version") == 1);
      CHECK(node.calls("system version") == probes);
    }
    CHECK(node.calls("system status") == 0);
    const std::string program = node.directory / "container";
    std::filesystem::remove(program);
    CHECK(probe(node, cli).health == Health::kUndetected);
    std::filesystem::copy_file(std::filesystem::canonical(places::standin), program);
    CHECK(probe(node, cli).health == Health::kHealthy);
    CHECK(node.calls("version") == 2);
  }
}

TEST_CASE("another version of the CLI behind the same file is noticed") {
  const Node node{"1.2.2"};
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  CHECK(probe(node, cli).health == Health::kHealthy);
  std::ofstream{node.directory / "standin.env", std::ios::app} << "NDC_STANDIN_VERSION=1.1.0\n";
  node.fault("daemon-version", "1.2.2");
  CHECK(contains(probe(node, cli).description,
                 "Apple's container is 1.1.0, its service still 1.2.2"));
  CHECK(cli->known_version() == VersionNumber{1, 1, 0});
}

TEST_CASE("a service that answers but tells no version is one that runs") {
  const Node node;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  for (const char* fault : {"xpc", "exit 1 no such thing", "garbage"}) {
    node.fault("system-version", fault);
    CHECK(probe(node, cli).health == Health::kHealthy);
  }
}

TEST_CASE("a CLI that gives no answer makes the node unhealthy, whichever call it is") {
  Node node;
  node.config.command_timeout = 2s;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  node.fault("system-version", "xpc");
  node.fault("system-status", "hang");
  CHECK(contains(probe(node, cli).description, "does not answer"));
  node.fault("system-version", "hang");
  const Fingerprint bad = probe(node, cli);
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "does not answer"));
  CHECK(node.calls("system status") == 1);
  node.fault("system-version", "");
  CHECK(probe(node, cli).health == Health::kHealthy);
}

TEST_CASE("starts of two containers that hang make the node unhealthy, those of one do not") {
  Node node;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  const auto poller = std::make_shared<ApplePoller>(cli, 30ms, 30ms);
  AppleWatchTools tools{cli, poller, poller, places::test_monitor, 300ms};
  const auto networks = std::make_shared<AppleNetworks>(cli, node.config.gc.dangling_containers);
  const auto start = [&](const std::string& id) {
    const Awaited<Expected<AppleStart::Outcome>> result;
    node.loop->post([&] {
      std::make_shared<AppleStart>(
          tools, networks, node.config, node.request("exit 0"), id, nullptr,
          [result](Expected<AppleStart::Outcome> got) { result.set(std::move(got)); })
          ->begin();
    });
    return result.get(kLong);
  };
  node.fault("start", "hang");
  const std::string other = node.id + "-other";
  // The first one as a task that Nomad restarts, with a kernel of its own that does not boot.
  for (const auto& [id, then] : {std::pair{node.id, Health::kHealthy},
                                 {node.id, Health::kHealthy},
                                 {node.id, Health::kHealthy},
                                 {other, Health::kUnhealthy}}) {
    const auto hung = start(id);
    REQUIRE(!hung);
    CHECK(hung.error().code == ErrorCode::kTimeout);
    CHECK(!std::filesystem::exists(node.files()));
    CHECK(probe(node, cli).health == then);
  }
  CHECK(contains(probe(node, cli).description, "container start: no start within 300ms"));
  tools.start_patience = kLong;
  node.fault("start", "");
  REQUIRE(start(node.id));
  CHECK(probe(node, cli).health == Health::kHealthy);
}

TEST_CASE("a start that works counts for all that hung before it") {
  const Node node;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  const auto hung = [&](const std::string& id) {
    return on_loop(*node.loop, [cli, id] {
      cli->start_hung(id, "slow");
      return cli->hung_starts().has_value();
    });
  };
  CHECK(!hung("a"));
  on_loop(*node.loop, [cli] { return cli->forget_hung_starts(), true; });
  CHECK(!hung("b"));
  CHECK(!hung("b"));
  on_loop(*node.loop, [cli] { return cli->forget_hung_starts(), true; });
  CHECK(!hung("b"));
  CHECK(hung("a"));
  CHECK(hung("a"));
}

TEST_CASE("a list that always hangs makes the node unhealthy, whatever else is answered") {
  Node node;
  node.config.command_timeout = 1s;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  const auto run = [&](const AppleCall& call) {
    const Awaited<std::optional<Error>> failed;
    node.loop->post([&] {
      cli->run(call, [failed](const Expected<CommandResult>& result) {
        failed.set(result ? std::nullopt : std::optional{result.error()});
      });
    });
    return failed.get(kLong);
  };
  node.fault("list", "hang");
  for (int tries = 0; tries < 5; ++tries) {
    CHECK(!run(AppleCall::stats()));
    const auto hung = run(AppleCall::list_all());
    REQUIRE(hung);
    CHECK(hung->code == ErrorCode::kTimeout);
  }
  const auto refused = run(AppleCall::stats());
  REQUIRE(refused);
  CHECK(contains(refused->message(), "not tried"));
  CHECK(contains(probe(node, cli).description, "fail again and again"));
  node.fault("list", "");
  CHECK(eventually([&] { return probe(node, cli).health == Health::kHealthy; }, kLong));
  CHECK(!run(AppleCall::stats()));
}

TEST_CASE("containers that cannot be stopped are no reason to start none") {
  Node node;
  node.config.command_timeout = 200ms;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  node.fault("stop", "hang");
  for (int tries = 0; tries < 6; ++tries) {
    const Awaited<bool> answered;
    node.loop->post([&] {
      cli->run(cli->command(AppleCall::stop("x")), AppleCli::Kind::kVital,
               [answered](const Expected<CommandResult>& result) { answered.set(!result); });
    });
    CHECK(answered.get(kLong));
  }
  CHECK(!on_loop(*node.loop, [cli] { return cli->failing().has_value(); }));
}

TEST_CASE("a service that hangs behind a CLI that gives up by itself makes the node unhealthy") {
  Node node;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  node.fault("list", "exit 1 internalError: \"XPC timeout for request to com.apple.container\"");
  for (int tries = 0; tries < 10; ++tries) {
    const Awaited<bool> answered;
    node.loop->post([&] {
      cli->run(AppleCall::list_all(),
               [answered](const Expected<CommandResult>&) { answered.set(true); });
    });
    answered.get(kLong);
  }
  const auto fingerprint = probe(node, cli);
  CHECK(fingerprint.health == Health::kUnhealthy);
  CHECK(contains(fingerprint.description, "does not answer its CLI in time"));
}

TEST_CASE("a stop that says it timed out is no sign of a bad service") {
  Node node;
  const auto cli = std::make_shared<AppleCli>(*node.loop, node.config);
  node.fault("stop", "exit 1 internalError: \"timed out\"");
  for (int tries = 0; tries < 10; ++tries) {
    const Awaited<bool> answered;
    node.loop->post([&] {
      cli->run(cli->command(AppleCall::stop("x")), AppleCli::Kind::kVital,
               [answered](const Expected<CommandResult>&) { answered.set(true); });
    });
    answered.get(kLong);
  }
  CHECK(probe(node, cli).health == Health::kHealthy);
}
