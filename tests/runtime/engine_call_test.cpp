// What is told of the engine's CLI calls, and that calls which broke off raise a doubt.

#include <fstream>

#include "machine.hpp"
#include "runtime/engine_call.hpp"
#include "runtime/podman_cli.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;
using test::Awaited;

TEST_CASE("a call is named by its subcommand, never by its arguments") {
  const auto name = [](std::vector<std::string> argv) { return call_name(argv); };
  CHECK(name({"/usr/bin/podman", "--log-level=error", "--runtime=crun", "run", "--env=A=b"}) ==
        "run");
  CHECK(name({"podman", "container", "inspect", "--format=json", "--", "web"}) ==
        "container inspect");
  CHECK(name({"container", "image", "pull", "--progress", "none", "x"}) == "image pull");
  CHECK(name({"container", "exec", "--", "web", "/bin/sh"}) == "exec");
  CHECK(name({"container", "image"}) == "image");
  CHECK(name({"container", "--version"}) == "version");
  CHECK(name({"container"}).empty());
  CHECK(name({}).empty());
}

struct Podman {
  explicit Podman(const std::string& script) {
    std::ofstream{directory / "podman"} << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(directory / "podman", std::filesystem::perms::owner_all);
    PluginConfig config;
    config.podman_path = directory / "podman";
    config.command_timeout = 60s;
    cli = std::make_shared<PodmanCli>(loop, config);
    REQUIRE(loop.post([this] {
      cli->on_doubt([doubt = doubt] { doubt.set(true); });
      cli->on_call([call = call](const EngineCall& made) { call.set(made); });
      cli->run(cli->command({"info"}),
               [done = done](auto result) { done.set(result.has_value()); });
    }));
    done.get();
    test::settle(loop);
  }
  ~Podman() {
    REQUIRE(loop.post([this] { cli.reset(); }));
    test::settle(loop);
  }
  Podman(const Podman&) = delete;
  Podman& operator=(const Podman&) = delete;

  test::TemporaryDirectory directory;
  EventLoop loop;
  std::shared_ptr<PodmanCli> cli;
  Awaited<bool> doubt;
  Awaited<EngineCall> call;
  Awaited<bool> done;
};

TEST_CASE("a call that ends with a refusal is told as failed, and is no reason for doubt") {
  const Podman podman{"exit 125"};
  CHECK(podman.call.get().name == "info");
  CHECK(podman.call.get().outcome == "failed");
  CHECK(podman.call.get().took > 0ns);
  CHECK_FALSE(podman.doubt.is_set());
}

TEST_CASE("a call that broke off raises a doubt about the engine") {
  const Podman podman{"kill -9 $$"};
  CHECK(podman.doubt.is_set());
  CHECK(podman.call.times() == 1);
}

}  // namespace
}  // namespace ndc::runtime
