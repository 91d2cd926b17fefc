// Mounts compared by what mountinfo says of them, and what the hook leaves behind.

#include <unistd.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/machine.hpp"
#include "runtime/mount_guard_linux.hpp"
#include "runtime/proc_linux.hpp"
#include "support/catch.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kHost =
    "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "30 20 0:5 / /proc rw - proc proc rw\n"
    "40 20 8:2 /volumes/a /srv/a\\040b rw shared:1 - ext4 /dev/sdb rw\n"
    "41 20 8:3 / /mnt rw - ext4 /dev/sdc rw\n"
    "42 20 8:4 / /mnt rw - ext4 /dev/sdd rw\n";

TEST_CASE("a path is known by the device and the place in its file system") {
  CHECK(identity_of(kHost, "/etc/x") == MountIdentity{"8:1", "/etc/x"});
  CHECK(identity_of(kHost, "/") == MountIdentity{"8:1", "/"});
  CHECK(identity_of(kHost, "/srv/a b") == MountIdentity{"8:2", "/volumes/a"});
  CHECK(identity_of(kHost, "/srv/a b/c") == MountIdentity{"8:2", "/volumes/a/c"});
  CHECK(identity_of(kHost, "/srv/a bc") == MountIdentity{"8:1", "/srv/a bc"});
  CHECK(identity_of(kHost, "/mnt/x") == MountIdentity{"8:4", "/x"});
  CHECK_FALSE(identity_of("", "/x").has_value());
  CHECK_FALSE(identity_of("20 1 8:1\n\xFF\n", "/x").has_value());
}

TEST_CASE("each volume needs a mount of its own") {
  const MountIdentity data{"8:1", "/srv/data"};
  const char* one = "50 49 8:1 /srv/data /run/rootfs/data rw - ext4 /dev/sda1 rw\n";
  const auto missing = [](const std::string& text, std::vector<MountIdentity> wanted) {
    return missing_mounts(text, "/run/rootfs", std::move(wanted));
  };
  CHECK(missing(one, {data}).empty());
  CHECK(missing(one, {data, data}) == std::vector{data});
  CHECK(missing(std::string{one} + one, {data, data}).empty());
  CHECK(missing("50 49 8:1 /etc /run/rootfs/data rw - ext4 x rw\n", {data}).size() == 1);
  CHECK(missing("50 49 8:2 /srv/data /run/rootfs/data rw - ext4 x rw\n", {data}).size() == 1);
}

TEST_CASE("a mount of the host is none of the container's") {
  const std::string text = "50 49 8:1 /srv/data /mnt/data rw - ext4 /dev/sda1 rw\n";
  CHECK(missing_mounts(text, "/run/rootfs", {{"8:1", "/srv/data"}}).size() == 1);
  CHECK(missing_mounts(text, "/mnt/dat", {{"8:1", "/srv/data"}}).size() == 1);
  CHECK(missing_mounts(text, "/mnt", {{"8:1", "/srv/data"}}).empty());
}

TEST_CASE("a hook believes whole paths only") {
  const auto state = parse_hook_state(R"({"id":"c0ffee","pid":42,"bundle":"/b"})");
  REQUIRE(state.has_value());
  CHECK(state->id == "c0ffee");
  CHECK(state->pid == 42);
  CHECK(state->bundle == "/b");
  CHECK_FALSE(parse_hook_state("rubbish").has_value());
  for (const char* odd : {"7", R"({"pid":-1,"bundle":"b"})", R"({"pid":4294967297,"bundle":7})",
                          R"({"pid":"1","bundle":"/b\u0000c"})"}) {
    CAPTURE(odd);
    const auto empty = parse_hook_state(odd);
    REQUIRE(empty.has_value());
    CHECK(empty->pid == 0);
    CHECK(empty->bundle.empty());
  }
  CHECK(parse_root(R"({"root":{"path":"/run/rootfs"}})", "/b") == "/run/rootfs");
  CHECK(parse_root(R"({"root":{"path":"rootfs"}})", "/b") == "/b/rootfs");
  CHECK(parse_root(R"({"root":{"path":"/run/rootfs"}})", "").empty());
  for (const char* odd : {"rubbish", "[]", R"({"root":{}})", R"({"root":{"path":""}})",
                          R"({"root":{"path":"/\u0000rootfs"}})"}) {
    CAPTURE(odd);
    CHECK(parse_root(odd, "/b").empty());
  }
}

TEST_CASE("a container counts as checked only where the hook says so of this very one") {
  const test::TemporaryDirectory directory;
  const std::string files = directory / "";
  std::ofstream{directory / "config.json"} << R"({"root":{"path":"/"}})";
  // As the OCI runtime calls it, for a container that has this program's mounts.
  const auto hook = [&files](const MountIdentity& wanted) {
    const std::istringstream state{R"({"id":"c0ffee","pid":)" + std::to_string(::getpid()) +
                                   R"(,"bundle":")" + files + R"("})"};
    auto* const usual = std::cin.rdbuf(state.rdbuf());
    const int code = guard_main({files, wanted.device, wanted.root});
    std::cin.rdbuf(usual);
    return code;
  };
  const auto mountinfo = read_file("/proc/self/mountinfo", 16u << 20);
  REQUIRE(mountinfo.has_value());
  const auto proc = identity_of(*mountinfo, "/proc");
  REQUIRE(proc.has_value());

  CHECK_FALSE(guard_passed(files, "c0ffee"));  // as after a hook that does nothing and ends with 0
  CHECK(hook({"0:0", "/nowhere"}) != 0);
  CHECK(guard_refused(files));
  CHECK_FALSE(guard_passed(files, "c0ffee"));
  CHECK(hook(*proc) == 0);
  CHECK(guard_passed(files, "c0ffee"));
  CHECK_FALSE(guard_passed(files, "decaf"));
}

}  // namespace
}  // namespace ndc::runtime
