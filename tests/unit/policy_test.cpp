// Operator policy, engines' capabilities, image references and credentials.

#include "model/capabilities.hpp"
#include "model/image_reference.hpp"
#include "model/labels.hpp"
#include "model/linux_caps.hpp"
#include "model/operator_policy.hpp"
#include "model/registry_auth.hpp"
#include "model/version_number.hpp"
#include "support/catch.hpp"

namespace ndc {
namespace {

std::string refusals(const TaskConfig& task, const PluginConfig& plugin) {
  std::string out;
  for (const Error& error : policy_refusals(task, plugin)) out += error.message() + "\n";
  return out;
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("images are known by one name however they are written") {
  for (const auto& [text, full] : std::map<std::string, std::string>{
           {"redis", "docker.io/library/redis:latest"},
           {"redis:7", "docker.io/library/redis:7"},
           {"docker.io/redis:7", "docker.io/library/redis:7"},
           {"index.docker.io/redis", "docker.io/library/redis:latest"},
           {"registry-1.docker.io/a/b", "docker.io/a/b:latest"},
           {"docker://redis:7", "docker.io/library/redis:7"},
           {"a/b", "docker.io/a/b:latest"},
           {"localhost/a", "localhost/a:latest"},
           {"127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"},
           {"[::1]:5000/a", "[::1]:5000/a:latest"},
           {"ghcr.io/a/b:1@sha256:" + std::string(64, 'a'),
            "ghcr.io/a/b:1@sha256:" + std::string(64, 'a')},
           {"a@sha256:" + std::string(64, 'a'),
            "docker.io/library/a@sha256:" + std::string(64, 'a')}}) {
    CAPTURE(text);
    const auto reference = parse_image_reference(text);
    REQUIRE(reference.has_value());
    CHECK(reference->text() == full);
    CHECK(parse_image_reference(full)->text() == full);
  }
}

TEST_CASE("what is no reference is refused") {
  for (const std::string& wrong : {std::string{},
                                   std::string{"Redis"},
                                   std::string{"a//b"},
                                   std::string{"/a"},
                                   std::string{"a/"},
                                   std::string{"a:"},
                                   std::string{"a:-1"},
                                   std::string{"a@"},
                                   std::string{"a@sha256:xyz"},
                                   std::string{"-a"},
                                   std::string{"a b"},
                                   std::string{"a\n"},
                                   std::string{"..../a"} + "/",
                                   std::string{"a:"} + std::string(129, 'x'),
                                   std::string(256, 'a'),
                                   std::string{"a@b@c"},
                                   std::string{"docker-archive:/etc/x.tar"},
                                   std::string{"dir:/etc"},
                                   std::string{"a:b/c"},
                                   std::string{"r.io:/a"},
                                   std::string{"r.io:x/a"},
                                   std::string{":5000/a"}}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_image_reference(wrong).has_value());
  }
}

TEST_CASE("allowed images are matched by their full name") {
  PluginConfig plugin;
  plugin.allowed_images = {"docker.io/library/*", "ghcr.io/team/app:*"};
  TaskConfig task;
  for (const char* good : {"redis", "docker.io/library/redis:7", "ghcr.io/team/app:1"}) {
    task.image = good;
    CHECK(refusals(task, plugin).empty());
  }
  for (const char* bad : {"evil/redis", "quay.io/library/redis", "docker.io.evil.com/library/redis",
                          "ghcr.io/team/app@sha256:0123456789abcdef0123456789abcdef",
                          "0123456789abcdef/x:y/z", "REDIS"}) {
    CAPTURE(bad);
    task.image = bad;
    CHECK(says(refusals(task, plugin), "allowed_images"));
  }
}

TEST_CASE("with a list of images the full name is asked for, and no archive is loaded") {
  PluginConfig plugin;
  CHECK(image_to_use("redis", plugin) == "redis");
  CHECK(image_to_use("docker://localhost/redis:7", plugin) == "localhost/redis:7");
  CHECK(image_to_use("https://ghcr.io/a/b", plugin) == "ghcr.io/a/b");
  CHECK(image_to_use("http://docker://redis", plugin) == "redis");
  plugin.allowed_images = {"docker.io/library/*"};
  CHECK(image_to_use("redis", plugin) == "docker.io/library/redis:latest");
  CHECK(image_to_use("docker.io/redis:7", plugin) == "docker.io/library/redis:7");
  CHECK(image_to_use("localhost/redis:7", plugin) == "localhost/redis:7");
  TaskConfig task;
  task.image = "docker.io/library/redis:7";
  CHECK(refusals(task, plugin).empty());
  task.init_image = "evil.example/init:1";
  CHECK(says(refusals(task, plugin), "init_image"));
  task.init_image.reset();
  task.load = "local/redis.tar";
  CHECK(says(refusals(task, plugin), "allowed_images"));
}

TEST_CASE("capabilities are those that the operator allows, in any spelling") {
  TaskConfig task;
  task.image = "a";
  PluginConfig plugin;
  task.cap_add = {"CAP_CHOWN"};
  CHECK(refusals(task, plugin).empty());
  task.cap_add = {"CAP_SYS_ADMIN", "ALL"};
  CHECK(says(refusals(task, plugin), "CAP_SYS_ADMIN"));
  CHECK(says(refusals(task, plugin), "\"ALL\""));
  plugin.allow_caps = {"CAP_SYS_ADMIN"};
  CHECK_FALSE(says(refusals(task, plugin), "\"CAP_SYS_ADMIN\" is not"));
  CHECK(says(refusals(task, plugin), "\"ALL\" is not"));
  plugin.allow_caps = {"ALL"};
  CHECK(refusals(task, plugin).empty());
  plugin.allow_caps = std::set<std::string>{};
  CHECK(says(refusals(task, plugin), "nothing"));

  for (const char* name : {"net_admin", "NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin"}) {
    CHECK(*capability_name(name) == "CAP_NET_ADMIN");
  }
  CHECK(*capability_name("all") == "ALL");
  for (const char* wrong : {"", "cap_", "CAP_ALL", "net admin", "-NET_ADMIN", "CAP_CAP_CHOWN"}) {
    CHECK_FALSE(capability_name(wrong).has_value());
  }
}

TEST_CASE("each gate of the operator's is shut and opened by its own setting") {
  TaskConfig task;
  task.image = "a";
  task.privileged = task.ssh_agent = task.virtualization = true;
  PluginConfig plugin;
  CHECK(says(refusals(task, plugin), "allow_privileged"));
  CHECK_FALSE(says(refusals(task, plugin), "allow_ssh_agent"));
  plugin.allow_privileged = true;
  CHECK(refusals(task, plugin).empty());
  plugin.allow_ssh_agent = plugin.allow_virtualization = false;
  CHECK(says(refusals(task, plugin), "allow_ssh_agent"));
  CHECK(says(refusals(task, plugin), "allow_virtualization"));
}

TEST_CASE("what shows a container the host's kernel needs the operator's leave") {
  for (const char* option :
       {"unmask=ALL", "unmask=/proc/sys", "unmask:ALL", "systempaths=unconfined"}) {
    CAPTURE(option);
    TaskConfig task;
    task.image = "a";
    task.security_opt = {"no-new-privileges", option};
    PluginConfig plugin;
    CHECK(says(refusals(task, plugin), "allow_privileged"));
    plugin.allow_privileged = true;
    CHECK(refusals(task, plugin).empty());
    task.security_opt.pop_back();
    plugin.allow_privileged = false;
    CHECK(refusals(task, plugin).empty());
  }
}

TEST_CASE("what an engine cannot do is refused with value, engine, version and the alternative") {
  TaskConfig task;
  task.shm_size = 1;
  task.cap_add = {"CAP_CHOWN"};
  const Engine old{Engine::Kind::kApple, VersionNumber{0, 11, 0}};
  const auto errors = unsupported_settings(task, old);
  REQUIRE(errors.size() == 2);
  for (const Error& error : errors) {
    CHECK(error.code == ErrorCode::kUnsupported);
    CHECK(says(error.message(), "0.11.0"));
    CHECK_FALSE(error.hint.empty());
  }
  CHECK(says(errors.at(0).message(), "\"cap_add\": it is [\"CAP_CHOWN\"], but Apple's container"));
  CHECK(says(errors.at(1).message(), "\"shm_size\": it is 1, but Apple's container"));
  CHECK(unsupported_settings(task, {Engine::Kind::kApple, VersionNumber{1, 0, 0}}).empty());
  CHECK(unsupported_settings(task, {Engine::Kind::kApple, std::nullopt}).empty());
  CHECK(unsupported_settings(task, {Engine::Kind::kPodman, std::nullopt}).empty());
  task.privileged = true;
  CHECK(unsupported_settings(task, {Engine::Kind::kApple, std::nullopt}).size() == 1);
  const auto features = feature_attributes(old);
  CHECK(features.at("driver.container.feature.shm_size") == Attributes::mapped_type{false});
  CHECK(features.at("driver.container.feature.init") == Attributes::mapped_type{true});
}

TEST_CASE("credentials go to the registry that they are for and to no other") {
  const RegistryAuth hub{"u", "p", ""};
  const RegistryAuth own{"u", "p", "https://r.example:5000/v2/"};
  CHECK(credentials_for("redis", std::nullopt, std::nullopt)->has_value() == false);
  CHECK((*credentials_for("redis", std::nullopt, hub))->server_address == "docker.io");
  CHECK_FALSE(credentials_for("ghcr.io/a", std::nullopt, hub)->has_value());
  CHECK((*credentials_for("r.example:5000/a", std::nullopt, own))->server_address ==
        "r.example:5000");
  CHECK_FALSE(credentials_for("r.example/a", std::nullopt, own)->has_value());
  CHECK((*credentials_for("ghcr.io/a", hub, own))->server_address == "ghcr.io");
  const auto wrong = credentials_for("ghcr.io/a", own, std::nullopt);
  REQUIRE_FALSE(wrong.has_value());
  CHECK(says(wrong.error().message(), "r.example:5000"));
  CHECK_FALSE(says(wrong.error().message(), "\"p\""));
  CHECK_FALSE(credentials_for("SHA", std::nullopt, hub)->has_value());
  CHECK_FALSE(credentials_for("SHA", hub, std::nullopt).has_value());
  CHECK(registry_host("https://index.docker.io/v1/") == "docker.io");
  CHECK(registry_host("r:5000") == "r:5000");
}

TEST_CASE("globs match wholly, also where they have to try again") {
  CHECK(glob_match("a*b*c", "axxbyybzzc"));
  CHECK(glob_match("*.io/*", "docker.io/x"));
  CHECK(glob_match("**", ""));
  CHECK_FALSE(glob_match("", "a"));
  CHECK(glob_match("", ""));
  CHECK_FALSE(glob_match("a*", "ba"));
  CHECK_FALSE(glob_match("*a", "ab"));
  CHECK_FALSE(glob_match("?", ""));
  CHECK(glob_match("a*", "a*"));
  CHECK_FALSE(glob_match("a[bc]", "ab"));
  // Many stars over a text that almost matches: no exponential search.
  std::string stars;
  for (int i = 0; i < 200; ++i) stars += "*a";
  CHECK_FALSE(glob_match(stars + "*b", std::string(20'000, 'a')));
}

TEST_CASE("versions are compared by number") {
  CHECK(*parse_version("4.3.1") == VersionNumber{4, 3, 1});
  CHECK(*parse_version("5.0.0-dev") == VersionNumber{5, 0, 0});
  CHECK(*parse_version("4.10") > *parse_version("4.9.9"));
  CHECK(*parse_version("4") == VersionNumber{4, 0, 0});
  CHECK(*parse_version("4.-1") == VersionNumber{4, 0, 0});
  for (const char* wrong : {"", "v4", ".4", "-4", "99999999999", " 4"}) {
    CHECK_FALSE(parse_version(wrong).has_value());
  }
}

}  // namespace
}  // namespace ndc
