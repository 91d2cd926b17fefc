// Images: found, missing, and hidden by another one of the same layers that is only half there.

#include <filesystem>
#include <fstream>

#include "podman_node.hpp"

namespace ndc::test {
namespace {

using Found = std::optional<runtime::Image>;

Expected<Found> find(PodmanNode& node, const std::string& reference) {
  return node.call<Found>([&](auto done) {
    node.runtime().find_image({reference, std::nullopt}, done);
  });
}

TEST_CASE("an image is found by its name, a missing one is none, a registry that is away says so") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto there = find(node, variable("NDC_TEST_IMAGE"));
  REQUIRE(there.has_value());
  REQUIRE(there->has_value());
  CHECK((*there)->id.size() == 64);
  const auto missing = find(node, "localhost/ndc-no-such-image:1");
  REQUIRE(missing.has_value());
  CHECK_FALSE(missing->has_value());

  const auto pulled = node.call<runtime::Image>([&](auto done) {
    runtime::PullRequest request;
    request.image.reference = "127.0.0.1:1/ndc-none:1";  // nothing listens on port 1
    request.timeout = kPodmanDeadline;
    node.runtime().pull_image(std::move(request), done);
  });
  REQUIRE_FALSE(pulled.has_value());
  CHECK(pulled.error().code == ErrorCode::kRegistryUnreachable);
  CHECK(pulled.error().recoverable());
}

// A podman with a storage of its own: the images "whole:1" and "half:1", of one layer. The second
// has no manifest, like one that is being pulled right now, or whose pull was killed.
class HalfAnImage {
 public:
  explicit HalfAnImage(PodmanNode& node) {
    std::ofstream{program()}
        << "#!/bin/sh\ncd " << directory_ / "."
        << "\npodman --root=$PWD/storage --runroot=$PWD/run "
           "--storage-driver=vfs \"$@\"\ncode=$?\n"
           "[ $code = 0 ] || [ ! -e goes-on ] || mv manifest \"$(cat goes-on)\"\n"
           "exit $code\n";
    std::filesystem::permissions(program(), std::filesystem::perms::owner_all);
    std::ofstream{directory_ / "file"} << "the layer of both";
    node.run({"tar", "-C", directory_ / ".", "-cf", directory_ / "layer.tar", "file"});
    for (const std::string name : {"whole", "half"}) {
      const auto imported = node.run({program(), "import", "--quiet", "--message=" + name,
                                      directory_ / "layer.tar", name + ":1"});
      INFO(imported.err);
      REQUIRE(imported.status == ExitStatus{Exited{0}});
      id_ = imported.out.substr(imported.out.find(':') + 1, 64);
    }
    std::filesystem::rename(manifest(), directory_ / "manifest");
  }

  std::string program() const { return directory_ / "podman"; }
  const std::string& id() const { return id_; }
  // Its next step comes after the next look that fails.
  void the_pull_goes_on() const { std::ofstream{directory_ / "goes-on"} << manifest(); }
  bool is_whole() const { return std::filesystem::exists(manifest()); }

 private:
  std::string manifest() const { return directory_ / ("storage/vfs-images/" + id_ + "/manifest"); }

  TemporaryDirectory directory_;
  std::string id_;
};

TEST_CASE("an image is found while another one is being pulled") {
  const LeakCheck leaks;
  PodmanNode host;
  const HalfAnImage other{host};
  PodmanNode node{other.program()};
  other.the_pull_goes_on();
  const auto found = find(node, "whole:1");
  INFO((found ? std::string{} : found.error().message()));
  REQUIRE(found.has_value());
  CHECK(found->has_value());
  CHECK(other.is_whole());
}

TEST_CASE(
    "an image that a killed pull left half is named with its cure, and is itself as good as none") {
  const LeakCheck leaks;
  PodmanNode host;
  const HalfAnImage other{host};
  PodmanNode node{other.program()};
  const auto found = find(node, "whole:1");
  REQUIRE_FALSE(found.has_value());
  CHECK(found.error().recoverable());
  CHECK(contains(found.error().message(), other.id()));
  CHECK(contains(found.error().message(), "podman image rm"));
  const auto half = find(node, "half:1");
  REQUIRE(half.has_value());
  CHECK_FALSE(half->has_value());
}

}  // namespace
}  // namespace ndc::test
