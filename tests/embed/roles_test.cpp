// Runtimes that run the embedding program again. consumer/ shows a program that has the roles.

#include <memory>
#include <string>
#include <vector>

#include "runtime/event_loop.hpp"
#include "runtime/make_runtime.hpp"
#include "runtime/roles.hpp"
#include "support/catch.hpp"

namespace ndc::runtime {
namespace {

TEST_CASE("a runtime that would run this program again is made only once it has roles") {
  const auto loop = std::make_shared<EventLoop>();
  PluginConfig apple;
  apple.runtime = RuntimeKind::kApple;
  std::vector<PluginConfig> needy{apple};
#ifndef NDC_PORTABLE
  PluginConfig podman;
  podman.runtime = RuntimeKind::kPodman;
  CHECK(make_runtime(podman, loop).has_value());  // there is nothing to guard
  podman.volumes.allowed_paths = {"/srv"};
  needy.push_back(podman);
  podman.volumes.allowed_paths.clear();
  podman.volumes.enabled = false;
  needy.push_back(podman);
#endif
  for (const PluginConfig& config : needy) {
    const auto made = make_runtime(config, loop);
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == ErrorCode::kUnsupported);
    CHECK(made.error().hint.find("run_role") != std::string::npos);
  }

  std::string program = "program";
  std::string word = "serve";
  char* argv[] = {program.data(), word.data(), nullptr};
  CHECK_FALSE(run_role(2, argv).has_value());
  for (const PluginConfig& config : needy) CHECK(make_runtime(config, loop).has_value());

  word = "monitor";  // without what a monitor has to know
  argv[1] = word.data();
  CHECK(run_role(2, argv) == 1);
}

}  // namespace
}  // namespace ndc::runtime
