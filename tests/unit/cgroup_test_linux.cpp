// Cgroup v1, hybrid and v2: texts of the kernel's, and directories that look like its.

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../runtime/machine.hpp"
#include "runtime/cgroup_linux.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

const std::string kId(64, 'a');

constexpr const char* kV2Mounts =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kHybridMounts =
    "31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "33 24 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:8 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 24 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "35 24 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "36 24 0:32 / /proc rw - proc proc rw\n";

CgroupFiles files_of(const char* mounts, const std::string& paths) {
  return cgroup_files(parse_cgroup_mounts(mounts), parse_cgroup_paths(paths));
}

struct Tree {
  test::TemporaryDirectory directory;
  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path{directory / path}.parent_path());
    std::ofstream{directory / path} << text;
  }
};

TEST_CASE("with cgroup v2 alone all files are in one directory") {
  const auto files = files_of(kV2Mounts, "0::/machine.slice/libpod-x.scope\n");
  CHECK(files.unified == "/sys/fs/cgroup/machine.slice/libpod-x.scope");
  CHECK(files.cpu.empty());
  CHECK(files.memory.empty());
}

TEST_CASE("on a hybrid host the controllers of v1 count") {
  const auto files = files_of(
      kHybridMounts, "5:memory:/m\n4:cpu,cpuacct:/c:with:colons\n1:name=systemd:/s\n0::/u\n");
  CHECK(files.unified.empty());
  CHECK(files.cpu == "/sys/fs/cgroup/cpu,cpuacct/c:with:colons");
  CHECK(files.cpuacct == files.cpu);
  CHECK(files.memory == "/sys/fs/cgroup/memory/m");
}

TEST_CASE("where only a part of the hierarchy is mounted, paths are taken relative to it") {
  constexpr const char* kMounts = "1 1 0:1 /docker/abc /cg rw - cgroup2 cgroup2 rw\n";
  CHECK(files_of(kMounts, "0::/docker/abc/x\n").unified == "/cg/x");
  CHECK(files_of(kMounts, "0::/docker/abc\n").unified == "/cg");
  CHECK(files_of(kMounts, "0::/docker/abcdef\n").unified == "/cg/docker/abcdef");
}

TEST_CASE("texts that are none of the kernel's name no files") {
  for (const char* wrong : {"", "\n\n", " - ", "a - cgroup2", "1 2 3 4 5 - cgroup2 x",
                            "::", "0:", "1 2 3 - cgroup2 a b", "\xFF\xFF"}) {
    CAPTURE(wrong);
    const auto files = files_of(wrong, wrong);
    CHECK((files.unified + files.cpu + files.cpuacct + files.memory).empty());
  }
}

TEST_CASE("of keyed files only whole numbers count") {
  const auto fields =
      parse_flat_keyed("a 1\nb max\nc -1\nd 99999999999999999999\n e 2\nf\ng 3 4\nh 5");
  CHECK(fields == std::map<std::string, std::uint64_t>{{"a", 1}, {"h", 5}});
}

TEST_CASE("of a cgroup's processes those of another namespace are none") {
  CHECK(parse_processes("12\n0\n13\n") == std::vector<pid_t>{12, 13});
  CHECK(parse_processes("").empty());
  CHECK(parse_processes("x\n-1\n4294967297\n").empty());
}

TEST_CASE("usage is read from the files of cgroup v2") {
  const Tree tree;
  tree.put(
      "u/cpu.stat",
      "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_throttled 4\nthrottled_usec 50\n");
  tree.put("u/memory.stat", "anon 10\nfile 20\nkernel 30\n");
  tree.put("u/memory.current", "100\n");
  tree.put("u/memory.peak", "200\n");
  tree.put("u/memory.swap.current", "5\n");
  const auto usage = read_usage({tree.directory / "u", {}, {}, {}});
  REQUIRE(usage.has_value());
  CHECK(usage->cpu_total == 3ms);
  CHECK(usage->cpu_user == 2ms);
  CHECK(usage->cpu_system == 1ms);
  CHECK(usage->throttled_periods == 4);
  CHECK(usage->throttled_time == 50us);
  CHECK(usage->memory_usage == 100);
  CHECK(usage->memory_rss == 10);
  CHECK(usage->memory_cache == 20);
  CHECK(usage->memory_kernel == 30);
  CHECK(usage->memory_max == 200);
  CHECK(usage->memory_swap == 5);
}

TEST_CASE("usage is read from the files of cgroup v1") {
  const Tree tree;
  tree.put("c/cpu.stat", "nr_periods 9\nnr_throttled 4\nthrottled_time 50\n");
  tree.put("c/cpuacct.usage", "3000\n");
  tree.put("c/cpuacct.stat", "user 2\nsystem 1\n");
  tree.put("m/memory.stat", "cache 1\nrss 2\nswap 3\ntotal_cache 20\ntotal_rss 10\n");
  tree.put("m/memory.usage_in_bytes", "100\n");
  tree.put("m/memory.max_usage_in_bytes", "200\n");
  tree.put("m/memory.kmem.usage_in_bytes", "30\n");
  const auto usage =
      read_usage({{}, tree.directory / "c", tree.directory / "c", tree.directory / "m"});
  REQUIRE(usage.has_value());
  CHECK(usage->cpu_total == 3us);
  CHECK(usage->cpu_user == std::chrono::nanoseconds{2'000'000'000 / ::sysconf(_SC_CLK_TCK)});
  CHECK(usage->throttled_time == 50ns);
  CHECK(usage->memory_rss == 10);
  CHECK(usage->memory_cache == 20);
  CHECK(usage->memory_swap == 3);
  CHECK(usage->memory_max == 200);
}

TEST_CASE("a counter that is missing stays empty, a cgroup that is gone is an error") {
  const Tree tree;
  tree.put("u/memory.current", "100");
  tree.put("u/memory.peak", "max");
  const auto usage = read_usage({tree.directory / "u", {}, {}, {}});
  REQUIRE(usage.has_value());
  CHECK(usage->memory_usage == 100);
  CHECK_FALSE(usage->memory_max.has_value());
  CHECK_FALSE(usage->cpu_total.has_value());
  for (const CgroupFiles& gone :
       {CgroupFiles{tree.directory / "none", {}, {}, {}}, CgroupFiles{}}) {
    CHECK(read_usage(gone).error().code == ErrorCode::kContainerGone);
  }
}

TEST_CASE("a time beyond what fits is no time") {
  const Tree tree;
  tree.put("u/cpu.stat", "usage_usec 18446744073709551615\nuser_usec 9223372036854775\n");
  tree.put("u/memory.current", "1");
  tree.put("c/cpuacct.usage", "18446744073709551615");
  tree.put("c/cpuacct.stat", "user 18446744073709551615\nsystem 1\n");
  const auto unified = read_usage({tree.directory / "u", {}, {}, {}});
  CHECK_FALSE(unified->cpu_total.has_value());
  CHECK(unified->cpu_user == 9223372036854775us);
  CHECK_FALSE(read_usage({{}, {}, tree.directory / "c", {}}).has_value());
}

TEST_CASE("kills for want of memory are counted in both hierarchies") {
  const Tree tree;
  tree.put("u/memory.events", "oom 3\noom_kill 2\n");
  tree.put("m/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  tree.put("old/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n");
  CHECK(oom_kills({tree.directory / "u", {}, {}, {}}) == 2);
  CHECK(oom_kills({{}, {}, {}, tree.directory / "m"}) == 1);
  CHECK_FALSE(oom_kills({{}, {}, {}, tree.directory / "old"}).has_value());
  CHECK_FALSE(oom_kills({tree.directory / "none", {}, {}, {}}).has_value());
  CHECK_FALSE(oom_kills({}).has_value());
}

TEST_CASE("a cgroup that was saved comes back") {
  ContainerRef container{"n", kId, {}};
  CHECK_FALSE(saved_cgroup(container).has_value());
  save_cgroup({{}, "/c/" + kId, {}, "/m/libpod-" + kId + ".scope"}, container);
  const auto files = saved_cgroup(container);
  REQUIRE(files.has_value());
  CHECK(files->cpu == "/c/" + kId);
  CHECK(files->memory == "/m/libpod-" + kId + ".scope");
  CHECK(files->unified.empty());
  CHECK(container.state.size() == 2);
}

TEST_CASE("a handle cannot make the driver read other files as usage") {
  for (const std::string& path :
       {std::string{"/etc"}, "relative/" + kId, "/cg/" + kId + "/../../../etc", "/../" + kId,
        std::string{}, "/cg/" + std::string(64, 'b')}) {
    CAPTURE(path);
    CHECK_FALSE(saved_cgroup({"n", kId, {{"cgroup_memory", path}}}).has_value());
  }
  for (const std::string& id : {std::string{}, std::string{"e"}, std::string{"etc"}}) {
    CAPTURE(id);
    CHECK_FALSE(saved_cgroup({"n", id, {{"cgroup_memory", "/etc"}}}).has_value());
    CHECK_FALSE(find_cgroup(::getpid(), id).has_value());
  }
  // One bad path spoils the reference.
  CHECK_FALSE(saved_cgroup({"n", kId, {{"cgroup_cpu", "/c/" + kId}, {"cgroup_memory", "/etc"}}})
                  .has_value());
}

TEST_CASE("a process that is not the container's has no cgroup of it") {
  CHECK(find_cgroup(::getpid(), kId).error().code == ErrorCode::kContainerGone);
  CHECK(find_cgroup(0, kId).error().code == ErrorCode::kContainerGone);
  CHECK(find_cgroup(-1, kId).error().code == ErrorCode::kContainerGone);
}

}  // namespace
}  // namespace ndc::runtime
