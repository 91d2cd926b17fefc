#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "model/labels.hpp"
#include "runtime/machine.hpp"
#include "runtime/state_leftovers.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

namespace {

struct State {
  ndc::test::TemporaryDirectory directory;
  fs::path path = directory / "state";
  State() { fs::create_directory(path); }
  std::string make(const std::string& name) const {
    fs::create_directory(path / name);
    return path / name;
  }
};

Names names(const std::vector<FoundContainer>& found) {
  Names out;
  for (const FoundContainer& one : found) out.push_back(one.container.name);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("a task's directory without a container and a claim is left over, and says whose it is") {
  const State state;
  const std::map<std::string, std::string> labels{
      {kLabelNodeId, "n1"}, {kLabelAllocId, "a1"}, {kLabelTaskId, "a1/web/1"}};
  auto more = labels;
  more["nomad.namespace"] = "default";
  for (const char* name : {"gone", "there", "ours"}) {
    REQUIRE(write_owner(state.make(name), more));
  }
  StateLeftovers leftovers{state.path};
  leftovers.claim("ours");
  const auto found = leftovers.look({"there"});
  REQUIRE(names(found) == Names{"gone"});
  CHECK(found[0].container.id.empty());
  CHECK(found[0].labels == labels);
  CHECK_FALSE(found[0].running);
  REQUIRE(found[0].created_at);
  CHECK(std::chrono::system_clock::now() - *found[0].created_at < std::chrono::hours{1});
  leftovers.disclaim("ours");
  CHECK(names(leftovers.look({"there"})) == Names{"gone", "ours"});
  fs::remove_all(state.path);
  CHECK(leftovers.look({}).empty());
}

TEST_CASE("what does not say whose it is is left alone") {
  const State state;
  state.make("nothing");
  std::ofstream{state.make("empty") + "/owner"};
  fs::create_symlink("/etc/hostname", state.make("link") + "/owner");
  REQUIRE(::mkfifo((state.make("fifo") + "/owner").c_str(), 0600) == 0);
  REQUIRE(write_owner(state.make(".s"), {{kLabelNodeId, "n1"}}));
  std::ofstream{state.path / "login-example.com"} << "a file";
  fs::create_directory_symlink(state.make(".hidden"), state.path / "linked");
  CHECK(StateLeftovers{state.path}.look({}).empty());
}

TEST_CASE("where nobody can write down whose a directory is, there is an error and no half of it") {
  const State state;
  const std::string directory = state.make("task");
  fs::create_directory(directory + "/owner");
  const auto failed = write_owner(directory, {{kLabelNodeId, "n1"}});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message().find(directory) != std::string::npos);
  CHECK_FALSE(fs::exists(directory + "/owner.new"));
}
