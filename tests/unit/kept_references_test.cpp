#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "runtime/kept_references.hpp"
#include "runtime/machine.hpp"
#include "support/catch.hpp"

using namespace ndc::runtime;
namespace fs = std::filesystem;
using References = std::set<std::string>;

namespace {

struct State {
  ndc::test::TemporaryDirectory directory;
  std::string path = directory / "state";
  std::string file = path + "/.images";
  State() { fs::create_directory(path); }
};

}  // namespace

TEST_CASE("references of images are kept, whole") {
  const State state;
  CHECK(read_kept_references(state.path).value() == References{});
  const References all{"busybox", "127.0.0.1:5000/a/b:1", "redis@sha256:" + std::string(64, 'a')};
  REQUIRE(keep_references(state.path, all));
  CHECK(read_kept_references(state.path).value() == all);
  REQUIRE(keep_references(state.path, {}));
  CHECK_FALSE(fs::exists(state.file));
  CHECK(read_kept_references(state.path).value() == References{});
}

TEST_CASE("what is no reference in the file of kept references, or half of one, is left out") {
  const State state;
  std::ofstream{state.file} << "redis:7\n--all\n\nBAD NAME\nbusybox\nredis";
  CHECK(read_kept_references(state.path).value() == References{"busybox", "redis:7"});
}

TEST_CASE("a file of kept references that is not the driver's is refused") {
  const State state;
  SECTION("too large") {
    std::ofstream{state.file} << "redis:7\n";
    fs::resize_file(state.file, 2u << 20);
  }
  SECTION("a link") { fs::create_symlink("/etc/hostname", state.file); }
  SECTION("a directory") { fs::create_directory(state.file); }
  CHECK_FALSE(read_kept_references(state.path));
}
