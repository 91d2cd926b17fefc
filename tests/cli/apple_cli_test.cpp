// One call of the CLI: where it is found.
#include <filesystem>
#include <memory>
#include <string>

#include "cli/apple_node.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/apple_probe.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

Fingerprint probe(const Node& node, const std::shared_ptr<AppleCli>& cli) {
  const Awaited<Fingerprint> result;
  node.loop->post([&] {
    apple_probe(cli, node.config, [result](Fingerprint got) { result.set(std::move(got)); });
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
  CHECK(probe(node, cli).health == Health::kUndetected);
  std::filesystem::create_symlink(NDC_STANDIN, second);
  CHECK(probe(node, cli).health == Health::kHealthy);
  std::filesystem::rename(second, first);
  CHECK(probe(node, cli).health == Health::kHealthy);
  CHECK(cli->command({"list"}).argv.front() == first);
  CHECK(cli->program() == first);
}
