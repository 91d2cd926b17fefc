// Which host paths a task may mount: escapes are tried over real files.

#include <sys/stat.h>
#include <sys/types.h>
#if defined(__linux__)
#include <sys/sysmacros.h>  // makedev; macOS has it in sys/types.h
#endif

#include <filesystem>
#include <fstream>

#include "../runtime/machine.hpp"
#include "runtime/mount_policy.hpp"

namespace ndc::runtime {
namespace {

namespace fs = std::filesystem;

struct Node {
  test::TemporaryDirectory directory;
  std::string root = fs::canonical(directory / ".").string();
  TaskSpec spec;
  TaskConfig config;
  PluginConfig::Volumes policy;

  Node() {
    for (const char* path : {"alloc/alloc/data", "alloc/web/local/www", "alloc/web/secrets",
                             "alloc/other/secrets", "srv/app", "srv-private"}) {
      fs::create_directories(root + "/" + path);
    }
    spec.name = "web";
    spec.alloc_dir = root + "/alloc";
    fs::create_symlink("/etc", root + "/alloc/web/local/etc");
    fs::create_symlink(root + "/srv-private", root + "/srv/link");
    fs::create_symlink("www", root + "/alloc/web/local/www2");
  }
  // The mount of one volume, or the error.
  std::string mount(const std::string& source) {
    config.volumes = {Volume{source, "/x", {}}};
    auto mounts = resolve_mounts(spec, config, policy);
    if (!mounts) return "refused: " + mounts.error().message();
    return mounts->back().source;
  }
  bool refuses(const std::string& source) { return mount(source).starts_with("refused: "); }
};

TEST_CASE("Nomad's own directories are mounted where its variables say") {
  Node node;
  node.spec.env = {{"NOMAD_TASK_DIR", "/work/local"}, {"NOMAD_SECRETS_DIR", "relative"}};
  const auto mounts = resolve_mounts(node.spec, node.config, node.policy);
  REQUIRE(mounts.has_value());
  CHECK(*mounts == std::vector<ContainerMount>{{node.root + "/alloc/alloc", "/alloc", {}},
                                               {node.root + "/alloc/web/local", "/work/local", {}},
                                               {node.root + "/alloc/web/secrets", "/secrets", {}}});
}

// As everything below /var is on a Mac.
TEST_CASE("Nomad's own directories are mounted by their real path where a link leads to them all") {
  Node node;
  fs::create_symlink(node.root, node.root + "/link");
  node.spec.alloc_dir = node.root + "/link/alloc";
  node.policy.enabled = false;
  const auto mounts = resolve_mounts(node.spec, node.config, node.policy);
  REQUIRE(mounts.has_value());
  REQUIRE(mounts->size() == 3);
  CHECK(mounts->front().source == node.root + "/alloc/alloc");
  CHECK(mounts->back().source == node.root + "/alloc/web/secrets");
}

// With its whole directory mounted, a task can do this for its next attempt.
TEST_CASE("a link in the place of one of Nomad's own directories is refused") {
  for (const char* name : {"web/local", "web/secrets", "alloc"}) {
    CAPTURE(name);
    Node node;
    fs::remove_all(node.root + "/alloc/" + name);
    fs::create_symlink(node.root + "/srv-private", node.root + "/alloc/" + name);
    const auto mounts = resolve_mounts(node.spec, node.config, node.policy);
    REQUIRE_FALSE(mounts.has_value());
    CHECK(mounts.error().message().find("/srv-private") != std::string::npos);
  }
}

TEST_CASE(
    "where the policy restricts paths, the own directories are looked at again when mounted") {
  Node node;
  node.policy.allowed_paths = {node.root + "/srv"};
  const auto mounts = resolve_mounts(node.spec, node.config, node.policy);
  REQUIRE(mounts.has_value());
  REQUIRE(mounts->size() == 3);
  for (const ContainerMount& mount : *mounts) CHECK(mount.guarded);
}

TEST_CASE("where the policy restricts paths, no option changes the host's files") {
  for (const char* option : {"U", "z", "Z"}) {
    CAPTURE(option);
    Node node;
    node.config.volumes = {Volume{node.root + "/srv/app", "/x", {option}}};
    CHECK(resolve_mounts(node.spec, node.config, node.policy).has_value());
    node.policy.allowed_paths = {node.root + "/srv"};
    CHECK_FALSE(resolve_mounts(node.spec, node.config, node.policy).has_value());
  }
}

TEST_CASE("Nomad's mounts keep their flags") {
  Node node;
  node.spec.alloc_dir.clear();
  node.spec.mounts = {{"/a", "/b", true, "", ""},
                      {"/a", "/c", false, "host-to-task", "z"},
                      {"/a", "/d", false, "bidirectional", "nonsense"}};
  const auto mounts = resolve_mounts(node.spec, node.config, node.policy);
  REQUIRE(mounts.has_value());
  CHECK((*mounts)[0].options == std::vector<std::string>{"ro", "rprivate"});
  CHECK((*mounts)[1].options == std::vector<std::string>{"rw", "rslave", "z"});
  CHECK((*mounts)[2].options == std::vector<std::string>{"rw", "rshared"});
}

TEST_CASE("a relative source is below the task's directory, wherever its links and dots lead") {
  Node node;
  node.policy.enabled = GENERATE(true, false);
  CHECK(node.mount("local/www") == node.root + "/alloc/web/local/www");
  CHECK(node.mount("local/www2") == node.root + "/alloc/web/local/www");
  CHECK(node.mount(".") == node.root + "/alloc/web");
  CHECK(node.mount("local/../../alloc/data") == node.root + "/alloc/alloc/data");
  for (const char* escape : {"..", "../..", "../other/secrets", "local/etc", "local/etc/passwd",
                             "local/../../../srv", "local/missing"}) {
    CAPTURE(escape);
    CHECK(node.refuses(escape));
  }
}

TEST_CASE("without volumes only the task's own directories can be mounted") {
  Node node;
  node.policy.enabled = false;
  CHECK(node.mount(node.root + "/alloc/web/local") == node.root + "/alloc/web/local");
  CHECK(node.mount(node.root + "/alloc/alloc") == node.root + "/alloc/alloc");
  for (const std::string& escape :
       {node.root + "/srv", node.root + "/alloc", node.root + "/alloc/other/secrets",
        node.root + "/alloc/web/local/etc", node.root + "/alloc/web/../other", std::string{"/"}}) {
    CAPTURE(escape);
    CHECK(node.refuses(escape));
  }
  CHECK(node.refuses("named"));
  CHECK(node.mount("named").find("volumes.enabled") != std::string::npos);
}

TEST_CASE("allowed paths hold after links and dots are resolved") {
  Node node;
  node.policy.allowed_paths = {node.root + "/srv"};
  CHECK(node.mount(node.root + "/srv/app") == node.root + "/srv/app");
  CHECK(node.mount(node.root + "/srv") == node.root + "/srv");
  CHECK(node.mount("named") == "named");
  CHECK(node.mount(node.root + "/alloc/web/local") == node.root + "/alloc/web/local");
  for (const std::string& escape :
       {node.root + "/srv-private", node.root + "/srv/link", node.root + "/srv/../srv-private",
        node.root + "/srv/..", std::string{"/etc"}, node.root + "/srv/missing"}) {
    CAPTURE(escape);
    CHECK(node.refuses(escape));
  }
  CHECK(node.mount("/etc").find("allowed_paths has \"" + node.root + "/srv\"") !=
        std::string::npos);
}

TEST_CASE("an allowed path may itself be a link, and one that is not there allows nothing") {
  Node node;
  node.policy.allowed_paths = {node.root + "/srv/link"};
  CHECK(node.mount(node.root + "/srv-private") == node.root + "/srv-private");
  node.policy.allowed_paths = {node.root + "/gone"};
  CHECK(node.refuses(node.root + "/srv"));
}

TEST_CASE("devices are paths of the host, and the operator's word on those holds for them") {
  Node node;
  PluginConfig plugin;
  const auto refusal = [&](const std::string& path) {
    node.config.devices = {Device{path, "/dev/it", "r"}};
    const auto errors = resolve_devices(node.config, plugin).errors;
    return errors.empty() ? "" : errors.front().message();
  };
  const auto says = [&](const std::string& path, const char* part) {
    return test::contains(refusal(path), part);
  };
  CHECK(refusal("/dev/null").empty());
  CHECK(says("/no/such/device", "no such device"));
  std::ofstream{node.root + "/srv/file"} << "text";
  CHECK(says(node.root + "/srv/file", "no device"));

  // Links and dots lead where they lead; no device is a task's own, wherever it lies.
  fs::create_symlink("/dev/zero", node.root + "/srv/zero");
  plugin.volumes.allowed_paths = {node.root + "/srv", "/dev/null"};
  CHECK(refusal("/dev/null").empty());
  CHECK(refusal("/dev/../dev/null").empty());
  CHECK(says("/dev/zero", "allowed_paths"));
  CHECK(says(node.root + "/srv/zero", "allowed_paths"));
  CHECK(says(node.root + "/alloc/web/local/www", "allowed_paths"));
  // Whoever may make device files makes one of any disk where it can write.
  if (::mknod((node.root + "/srv/disk").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
    CHECK(says(node.root + "/srv/disk", "in /dev"));
    plugin.volumes.allowed_paths.clear();
    plugin.allow_virtualization = false;
    CHECK(says(node.root + "/srv/disk", "in /dev"));  // it might be that for virtual machines
    plugin.allow_virtualization = true;
    CHECK(refusal(node.root + "/srv/disk").empty());
  }
  node.config.devices = {Device{node.root + "/srv/zero", "", "r"}};
  plugin.volumes.allowed_paths = {"/dev/zero"};
  const auto found = resolve_devices(node.config, plugin);
  REQUIRE(found.devices.size() == 1);
  CHECK(found.devices.front() == Device{"/dev/zero", node.root + "/srv/zero", "r"});
  plugin.volumes.enabled = false;
  CHECK(says("/dev/null", "volumes.enabled"));

  plugin.volumes = {};
  plugin.allow_virtualization = false;
  CHECK(refusal("/dev/null").empty());
  // The directory would bring it along.
  CHECK(says("/dev", "allow_virtualization"));
}

TEST_CASE("all volumes that are refused are named at once") {
  Node node;
  node.config.volumes = {{"/no/such/a", "/x", {}}, {"/no/such/b", "/y", {}}};
  const auto mounts = resolve_mounts(node.spec, node.config, node.policy);
  REQUIRE_FALSE(mounts.has_value());
  CHECK(mounts.error().code == ErrorCode::kInvalidConfig);
  CHECK(mounts.error().message().find("/no/such/a") != std::string::npos);
  CHECK(mounts.error().message().find("/no/such/b") != std::string::npos);
}

TEST_CASE("two mounts at one place are refused, however they are written") {
  Node node;
  const auto refuses = [&](const std::string& target) {
    node.config.volumes = {{"local", "/data", {}}, {"secrets", target, {}}};
    const auto mounts = resolve_mounts(node.spec, node.config, node.policy);
    return !mounts && mounts.error().message().find("of its own") != std::string::npos;
  };
  CHECK(refuses("/data"));
  CHECK(refuses("/data/"));
  CHECK(refuses("//x/../data"));
  CHECK(refuses("/alloc"));
  CHECK_FALSE(refuses("/data/inside"));
  node.config.tmpfs = {{"/tmp/x", ""}};
  CHECK(refuses("/tmp/x"));
}

TEST_CASE("a file of the task is in its own directories, even where any path may be mounted") {
  Node node;
  std::ofstream{node.root + "/alloc/web/local/image.tar"} << "x";
  std::ofstream{node.root + "/srv/image.tar"} << "x";
  fs::create_symlink(node.root + "/srv/image.tar", node.root + "/alloc/web/local/link.tar");
  CHECK(*task_file(node.spec, "local/image.tar") == node.root + "/alloc/web/local/image.tar");
  CHECK(*task_file(node.spec, "./local/image.tar") == node.root + "/alloc/web/local/image.tar");
  for (const std::string& escape :
       {std::string{"local/link.tar"}, std::string{"../../srv/image.tar"},
        node.root + "/srv/image.tar", std::string{"local/none.tar"}, std::string{"/etc/passwd"}}) {
    CAPTURE(escape);
    CHECK_FALSE(task_file(node.spec, escape).has_value());
  }
}

TEST_CASE("below means a path component, not a prefix") {
  CHECK(is_below("/srv", "/srv"));
  CHECK(is_below("/srv/a", "/srv"));
  CHECK_FALSE(is_below("/srv-private", "/srv"));
  CHECK_FALSE(is_below("/sr", "/srv"));
  CHECK(is_below("/anything", "/"));
}

}  // namespace
}  // namespace ndc::runtime
