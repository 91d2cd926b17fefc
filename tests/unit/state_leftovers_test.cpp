#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "runtime/state_leftovers.hpp"
#include "support/catch.hpp"

using ndc::runtime::StateLeftovers;

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

TEST_CASE("a task's directory without a container is left over once it is seen twice") {
  char path[] = "/tmp/ndc-leftovers-XXXXXX";
  REQUIRE(::mkdtemp(path) != nullptr);
  const fs::path state{path};
  for (const char* name : {"gone", "there", "ours", ".s"}) fs::create_directory(state / name);
  std::ofstream{state / "login-example.com"} << "a file";
  fs::create_directory_symlink("/tmp", state / "link");
  StateLeftovers leftovers{state};
  leftovers.claim("ours");
  CHECK(leftovers.look({"there"}) == Names{});  // another agent's may be in the making
  CHECK(leftovers.look({"there"}) == Names{"gone"});
  fs::remove(state / "gone");
  CHECK(leftovers.look({"there"}) == Names{});
  fs::create_directory(state / "gone");
  CHECK(leftovers.look({"there"}) == Names{});  // it was seen before, but not the last time
  leftovers.disclaim("ours");
  CHECK(leftovers.look({"there"}) == Names{"gone"});
  CHECK(leftovers.look({"there"}) == Names{"ours"});
  fs::remove_all(state);
  CHECK(leftovers.look({}) == Names{});
}
