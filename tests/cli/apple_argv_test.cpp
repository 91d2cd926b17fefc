// The argv of `create` for each setting and version.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/apple_argv.hpp"
#include "runtime/apple_environment.hpp"
#include "runtime/apple_labels.hpp"
#include "runtime/apple_ports.hpp"
#include "runtime/machine.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;

namespace {

const VersionNumber k0_11{0, 11, 0};
const VersionNumber k0_12{0, 12, 3};
const VersionNumber k1_0{1, 0, 0};
const VersionNumber k1_2{1, 2, 2};

struct Job {
  TaskSpec spec;
  TaskConfig config;
  AppleRequest request;

  explicit Job(VersionNumber version = k1_2) {
    spec.name = "main";
    spec.alloc_id = "0a1b2c3d-0000-0000-0000-000000000000";
    spec.resources.memory_mb = 512;
    config.image = "demo:1";
    request.version = version;
    request.image = "demo:1";
    request.id = "nomad-main-0a1b2c3d";
    request.env_file = "/state/environment";
    request.host_cpus = 8;
  }
  Expected<AppleArguments> build() {
    request.spec = &spec;
    request.config = &config;
    return apple_arguments(request);
  }
  std::vector<std::string> options() {
    auto out = build();
    INFO((out ? "" : out.error().message()));
    REQUIRE(out);
    return out->options;
  }
  std::string error() {
    auto out = build();
    REQUIRE(!out);
    return out.error().message();
  }
};

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("cpus, memory and platform are always given") {
  for (const auto& version : {k0_11, k0_12, k1_0, k1_2}) {
    Job job{version};
    const auto options = job.options();
    CHECK(has(options, "--cpus=1"));
    CHECK(has(options, "--memory=512M"));
    CHECK(has(options, "--platform=" + apple_host_platform()));
    CHECK(has(options, "--name=nomad-main-0a1b2c3d"));
  }
}

TEST_CASE("the image follows the only -- and words stay as they are") {
  Job job;
  job.config.command = "--weird";
  job.config.args = {"-x", "", "---", "a=b"};
  auto out = job.build();
  REQUIRE(out);
  CHECK(out->tail == std::vector<std::string>{"--", "demo:1", "--weird", "-x", "", "---", "a=b"});
}

TEST_CASE("a share of the node becomes whole CPUs, cores as many") {
  TaskResources resources;
  CHECK(apple_cpus(resources, 8) == 1);
  resources.node_share = 0.125;
  CHECK(apple_cpus(resources, 8) == 1);
  resources.node_share = 0.126;
  CHECK(apple_cpus(resources, 8) == 2);
  resources.node_share = 3;
  CHECK(apple_cpus(resources, 8) == 8);
  resources.cpuset = "0-2,7";
  CHECK(apple_cpus(resources, 8) == 4);
}

TEST_CASE("less than 200 MiB is raised and said, memory_max is the limit") {
  Job job;
  job.spec.resources.memory_mb = 64;
  auto out = job.build();
  REQUIRE(out);
  CHECK(has(out->options, "--memory=200M"));
  REQUIRE(out->notes.size() == 1);
  CHECK(contains(out->notes[0], "from 64 MiB to 200 MiB"));
  job.spec.resources.memory_max_mb = 1024;
  CHECK(has(job.options(), "--memory=1024M"));
  job.spec.resources.memory_max_mb = -1;
  out = job.build();
  REQUIRE(out);
  CHECK(has(out->options, "--memory=200M"));
  REQUIRE(out->notes.size() == 2);
  CHECK(contains(out->notes[0], "memory_max = -1"));
  CHECK(contains(out->notes[0], "200 MiB"));
}

TEST_CASE("values of variables are never arguments") {
  Job job;
  job.spec.env = {{"PLAIN", "s3cret"}, {"LINES", "one\ntwo s3cret"}, {"PATH", "/bin"}};
  auto out = job.build();
  REQUIRE(out);
  for (const std::string& word : out->options) CHECK(!contains(word, "s3cret"));
  CHECK(has(out->options, "--env-file=/state/environment"));
  CHECK(has(out->options, "--env=LINES"));
  CHECK(out->environment.file == "PATH=/bin\nPLAIN=s3cret\n");
  CHECK(out->environment.own_entries == std::vector<std::string>{"LINES=one\ntwo s3cret"});
}

TEST_CASE("the CLI has little of the agent's environment") {
  const std::map<std::string, bool> variables{{"NOMAD_TOKEN", false},
                                              {"VAULT_TOKEN", false},
                                              {"HOMEBREW_GITHUB_API_TOKEN", false},
                                              {"CONTAINER_REGISTRY_TOKEN", false},
                                              {"CONTAINER_DEFAULT_PLATFORM", true},
                                              {"LC_TEST", true},
                                              {"https_proxy", true},
                                              {"ALL_PROXY", true},
                                              {"SSH_AUTH_SOCK", true}};
  for (const auto& [name, reaches] : variables) ::setenv(name.c_str(), "x", 1);
  const auto environment = apple_cli_environment();
  for (const auto& [name, reaches] : variables) {
    INFO(name);
    CHECK(std::count(environment.begin(), environment.end(), name + "=x") == (reaches ? 1 : 0));
    ::unsetenv(name.c_str());
  }
}

TEST_CASE("every line end of Unicode keeps a value out of the file") {
  for (const char* end : {"\n", "\r", "\v", "\f", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
    const auto out = apple_environment({{"A", std::string{"x"} + end + "y"}});
    REQUIRE(out);
    CHECK(out->file.empty());
    CHECK(out->names == std::vector<std::string>{"A"});
  }
}

TEST_CASE("variables that cannot be passed on are refused by name, never by value") {
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"PATH", "a\ns3cret"},
                                          {"CONTAINER_X", "a\ns3cret"},
                                          {"#A", "s3cret"},
                                          {"A B", "s3cret"},
                                          {"HTTPS_PROXY", "a\ns3cret"},
                                          {"SSH_AUTH_SOCK", "a\ns3cret"},
                                          {"B", "\xFFs3cret"}}) {
    const auto out = apple_environment({{name, value}});
    REQUIRE(!out);
    CHECK(contains(out.error().message(), name));
    CHECK(!contains(out.error().message(), "s3cret"));
  }
}

TEST_CASE("an entrypoint of several words keeps them before the command") {
  Job job;
  job.config.entrypoint = std::vector<std::string>{"/init", "--", "-v"};
  job.config.command = "run";
  auto out = job.build();
  REQUIRE(out);
  CHECK(has(out->options, "--entrypoint=/init"));
  CHECK(out->tail == std::vector<std::string>{"--", "demo:1", "--", "-v", "run"});
  job.config.entrypoint = std::vector<std::string>{};
  out = job.build();
  REQUIRE(out);
  CHECK(has(out->options, "--entrypoint=run"));
  CHECK(out->tail == std::vector<std::string>{"--", "demo:1"});
  job.config.command.reset();
  CHECK(contains(job.error(), "entrypoint"));
  job.config.args = {""};
  CHECK(contains(job.error(), "the command is empty"));
}

TEST_CASE("capabilities are refused by 0.11 and passed on later") {
  Job job{k0_11};
  job.config.cap_add = {"CAP_NET_ADMIN"};
  CHECK(contains(job.error(), "cap_add"));
  CHECK(contains(job.error(), "0.11.0"));
  job.request.version = k0_12;
  CHECK(has(job.options(), "--cap-add=CAP_NET_ADMIN"));
}

TEST_CASE("shm_size needs 1.0 and is rounded up to whole MiB") {
  Job job{k0_12};
  job.config.shm_size = 64 * 1024 * 1024 + 1;
  CHECK(contains(job.error(), "shm_size"));
  job.request.version = k1_0;
  CHECK(has(job.options(), "--shm-size=65M"));
}

TEST_CASE("rosetta chooses the platform and contradicts another") {
  Job job;
  job.config.rosetta = true;
  CHECK(has(job.options(), "--rosetta"));
  CHECK(has(job.options(), "--platform=linux/amd64"));
  job.config.platform = "linux/arm64";
  CHECK(contains(job.error(), "rosetta"));
}

TEST_CASE("the agent's socket is where the version puts it") {
  for (const auto& [version, path] : std::vector<std::pair<VersionNumber, std::string>>{
           {k0_11, "/run/host-services/ssh-auth.sock"},
           {k0_12, "/var/host-services/ssh-auth.sock"}}) {
    Job job{version};
    job.config.ssh_agent = true;
    auto out = job.build();
    REQUIRE(out);
    CHECK(has(out->options, "--ssh"));
    CHECK(contains(out->environment.file, "SSH_AUTH_SOCK=" + path + "\n"));
    // The Nomad client's own agent is not what 0.11 forwards.
    CHECK(out->notes.size() == (version == k0_11 ? 1 : 0));
  }
}

TEST_CASE("the host name leads the id and must fit") {
  TaskConfig config;
  CHECK(*apple_container_id("nomad-main-0a1b2c3d", config) == "nomad-main-0a1b2c3d");
  config.hostname = "web";
  CHECK(*apple_container_id("nomad-main-0a1b2c3d", config) == "web.nomad-main-0a1b2c3d");
  config.hostname = std::string(50, 'x');
  CHECK(contains(apple_container_id("nomad-main-0a1b2c3d", config).error().message(), "63"));
  config.hostname = "a.b";
  CHECK(!apple_container_id("nomad-main-0a1b2c3d", config));
}

TEST_CASE("ports follow the CLI's rules") {
  Job job;
  job.spec.ports = {{"http", 8080, 80, "10.0.0.1"}, {"six", 9000, 9000, "::1"}};
  job.config.ports = {"http", "six"};
  auto options = job.options();
  CHECK(has(options, "--publish=10.0.0.1:8080:80/tcp"));
  CHECK(has(options, "--publish=10.0.0.1:8080:80/udp"));
  CHECK(has(options, "--publish=[::1]:9000:9000/udp"));
  job.config.ports = {"nope"};
  CHECK(contains(job.error(), "\"http\", \"six\""));
  job.spec.ports = {{"a", 8080, 80, "10.0.0.1"}, {"b", 8080, 81, "10.0.0.2"}};
  job.config.ports = {"a", "b"};
  CHECK(contains(job.error(), "8080"));
  job.spec.ports = {{"a", 1, 80, ""}};
  job.config.ports = {"a"};
  CHECK(contains(job.error(), "port 1"));
  job.spec.ports = {{"a", 65535, 80, ""}};
  CHECK(has(job.options(), "--publish=65535:80/tcp"));
  job.request.version = k0_12;
  CHECK(contains(job.error(), "65535"));
  job.spec.ports.clear();
  job.config.ports.clear();
  for (int i = 0; i < 33; ++i) {
    job.spec.ports.push_back({"p" + std::to_string(i), 9000 + i, 80 + i, ""});
    job.config.ports.push_back("p" + std::to_string(i));
  }
  CHECK(contains(job.error(), "33 ports are more than the 32"));
}

TEST_CASE("network_mode host publishes the group's ports one to one and says so") {
  Job job;
  job.config.network_mode.kind = NetworkMode::Kind::kHost;
  // One address must not become all of them.
  job.spec.ports = {{"http", 8080, 80, "10.0.0.1"}, {"admin", 8080, 80, "127.0.0.1"}};
  CHECK(contains(job.error(), "does not tell addresses apart"));
  job.spec.ports = {{"http", 8080, 80, "10.0.0.1"}};
  auto out = job.build();
  REQUIRE(out);
  CHECK(has(out->options, "--publish=10.0.0.1:8080:8080/tcp"));
  REQUIRE(out->notes.size() == 1);
  CHECK(contains(out->notes[0], "host"));
  job.config.ports = {"http"};
  CHECK(job.options() == out->options);  // it is published anyway
  job.config.ports = {"http", "htpt"};
  out = job.build();
  REQUIRE(!out);
  CHECK(contains(out.error().message(), "\"htpt\""));
  CHECK(contains(out.error().message(), "known labels: \"http\""));
}

TEST_CASE("network modes") {
  Job job;
  job.config.network_mode = {NetworkMode::Kind::kNone, ""};
  CHECK(has(job.options(), "--network=none"));
  job.config.network_mode = {NetworkMode::Kind::kNamed, "backend"};
  job.config.mac_address = "02:00:00:00:00:01";
  CHECK(has(job.options(), "--network=backend,mac=02:00:00:00:00:01"));
  job.config.network_mode = {NetworkMode::Kind::kDefault, ""};
  CHECK(has(job.options(), "--network=default,mac=02:00:00:00:00:01"));
  job.config.mac_address.reset();
  job.config.network_mode = {NetworkMode::Kind::kTask, "web-1"};
  job.request.peer = ApplePeer{"10.1.0.2", "web.example", {"default"}};
  auto out = job.build();
  REQUIRE(out);
  CHECK(has(out->options, "--network=default"));
  CHECK(contains(out->environment.file, "NOMAD_PEER_IP_WEB_1=10.1.0.2\n"));
  CHECK(contains(out->environment.file, "NOMAD_PEER_HOST_WEB_1=web.example\n"));
  CHECK(contains(out->notes.at(0), "127.0.0.1 is not shared"));
  // The one that others join.
  job.config.network_mode.name = "main";
  job.request.peer.reset();
  CHECK(!job.build());
  job.request.private_network = "nomad-0a1b2c3d-0000-0000-0000-000000000000";
  CHECK(has(job.options(), "--network=nomad-0a1b2c3d-0000-0000-0000-000000000000"));
}

TEST_CASE("labels survive in a form that no version rejects") {
  for (const std::string value :
       {"", "plain", "a=b", "=", "a=", "b64u.x", "-x", "a b\nc", "ü=", "\x01=\xFF"}) {
    const std::string encoded = encode_label(value);
    CHECK(encoded.find('=') == std::string::npos);
    CHECK(decode_label(encoded) == value);
  }
  Job job;
  job.request.labels = {{"a", "x=y"}, {"b", ""}};
  const auto options = job.options();
  CHECK(has(options, "--label=a=" + encode_label("x=y")));
  CHECK(has(options, "--label=b"));
}

TEST_CASE("that a new volume is empty is said once, unless the job knows") {
  const auto told = [](const std::vector<ContainerMount>& mounts) {
    Job job;
    auto made = apple_mounts(mounts, k1_2);
    REQUIRE(made);
    job.request.mounts = std::move(*made);
    auto out = job.build();
    REQUIRE(out);
    return out->notes;
  };
  CHECK(told({{"data", "/data", {}}, {"own", "/own", {"nocopy"}}, {"logs", "/logs", {"ro"}}}) ==
        std::vector<std::string>{"\"data\", \"logs\": a new volume is empty: Apple's container "
                                 "copies nothing into it"});
  CHECK(told({{"data", "/data", {"nocopy"}}, {"/", "/host", {}}}).empty());
}

TEST_CASE("mounts that the CLI would get wrong are refused") {
  const auto mount = [](AppleMount::Kind kind, const std::string& source, bool read_only) {
    return AppleMount{kind, source, "/x",
                      read_only ? std::vector<std::string>{"ro"} : std::vector<std::string>{}};
  };
  using K = AppleMount::Kind;
  // The file's directory is shared as a whole: the first one decides for both.
  CHECK(share_conflicts({mount(K::kFile, "/a/f", true), mount(K::kFile, "/a/g", false)}, k1_2)
            .size() == 1);
  CHECK(share_conflicts({mount(K::kFile, "/a/f", true), mount(K::kDirectory, "/a", false)}, k0_12)
            .size() == 1);
  CHECK(share_conflicts({mount(K::kFile, "/a/f", true), mount(K::kFile, "/a/g", false)}, k0_11)
            .empty());
  CHECK(
      share_conflicts({mount(K::kDirectory, "/a", true), mount(K::kDirectory, "/a", false)}, k0_11)
          .size() == 1);
  CHECK(share_conflicts({mount(K::kFile, "/a/f", true), mount(K::kFile, "/b/g", false)}, k1_2)
            .empty());

  CHECK(mount_words({K::kDirectory, "/a", "/x", {"ro", "noexec"}}, k1_2)->front() ==
        "--volume=/a:/x:ro,noexec");
  CHECK(mount_words({K::kDirectory, "/a:b", "/x", {"ro"}}, k1_2)->front() ==
        "--mount=type=bind,source=/a:b,destination=/x,readonly");
  CHECK(!mount_words({K::kDirectory, "/a:b=c", "/x", {}}, k1_2));
  CHECK(!mount_words({K::kFile, "/a:b", "/x", {}}, k1_2));
}

TEST_CASE("a tmpfs with options becomes a mount") {
  Job job;
  job.config.tmpfs = {{"/a", ""}, {"/b", "size=64m,mode=1777"}};
  const auto options = job.options();
  CHECK(has(options, "--tmpfs=/a"));
  CHECK(has(options, "--mount=type=tmpfs,destination=/b,size=64M,mode=1777"));
  // What is no whole MiB the CLI would cut, and a size of 0 is none.
  job.config.tmpfs = {{"/b", "size=512k,ro"}};
  CHECK(has(job.options(), "--mount=type=tmpfs,destination=/b,size=1M,readonly"));
  job.config.tmpfs = {{"/b", "size=50%"}};
  CHECK(contains(job.error(), "\"size=50%\""));
  job.config.tmpfs = {{"/b", "noexec"}};
  CHECK(contains(job.error(), "noexec"));
}

TEST_CASE("what the machine cannot do is refused with the key") {
  Job job;
  job.config.privileged = true;
  job.config.sysctl = {{"net.core.somaxconn", "1"}};
  job.spec.group_network = GroupNetwork{};
  job.config.ulimit = {{"bogus", {1, 2}}};
  const std::string error = job.error();
  for (const char* key : {"privileged", "sysctl", "bridge", "bogus"}) CHECK(contains(error, key));
}

TEST_CASE("every refusal tells key, value, engine, version and what to do instead") {
  struct Refused {
    std::function<void(Job&)> with;
    std::vector<std::string> said;
  };
  const std::vector<Refused> all{
      {[](Job& job) { job.config.cap_add = {"CAP_CHOWN"}; }, {"cap_add", "[\"CAP_CHOWN\"]"}},
      {[](Job& job) {
         job.config.ulimit = {{"bogus", {1, 2}}};
       },
       {"ulimit", "\"bogus\""}},
      {[](Job& job) {
         job.config.tmpfs = {{"/b", "noexec"}};
       },
       {"tmpfs", "/b", "\"noexec\""}},
      {[](Job& job) {
         job.config.tmpfs = {{"/b=", "size=1m"}};
       },
       {"tmpfs", "/b="}},
      {[](Job& job) {
         job.config.labels = {{"a=b", "c"}};
       },
       {"labels", "\"a=b\""}},
      {[](Job& job) { job.config.entrypoint = {""}; }, {"entrypoint", "write the command"}},
      {[](Job& job) { job.spec.group_network = GroupNetwork{}; }, {"network", "bridge"}},
      {[](Job& job) {
         job.spec.devices = {{"/dev/x", "/dev/x", "r"}};
       },
       {"device", "\"/dev/x\""}},
      {[](Job& job) {
         job.config.ports = {"a"};
         job.spec.ports = {{"a", 1, 80, ""}};
       },
       {"port", "\"a\"", "port 1"}},
  };
  for (const Refused& refused : all) {
    Job job{k0_11};
    refused.with(job);
    const std::string error = job.error();
    INFO(error);
    CHECK(contains(error, "Apple's container 0.11.0"));
    CHECK(contains(error, "; "));
    for (const std::string& word : refused.said) CHECK(contains(error, word));
  }
}

TEST_CASE("two names of one directory are one share") {
  const test::TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "real/secrets");
  std::filesystem::create_directory_symlink(directory / "real", directory / "link");
  const std::string real = directory / "real/secrets";
  const auto mounts =
      apple_mounts({{real, "/secrets", {}}, {directory / "link/secrets", "/keys", {"ro"}}}, k1_2);
  REQUIRE(!mounts);
  CHECK(contains(mounts.error().message(), "only once"));
  const auto one = apple_mounts({{directory / "link/secrets", "/keys", {"ro"}}}, k1_2);
  REQUIRE(one);
  CHECK(one->at(0).source == real);
}

TEST_CASE("a mount that is refused is told with its option, engine and version") {
  for (const char* option : {"z", "rslave", "rshared"}) {
    const auto mounts = apple_mounts({{"/", "/data", {option}}}, k0_12);
    REQUIRE(!mounts);
    const std::string error = mounts.error().message();
    INFO(error);
    for (const std::string& word :
         {std::string{"mount volume \"/\""}, std::string{"Apple's container 0.12."},
          "\"" + std::string{option} + "\"", std::string{"use ro"}}) {
      CHECK(contains(error, word));
    }
  }
  const auto words = mount_words({AppleMount::Kind::kFile, "/a:b", "/x", {}}, k1_2);
  REQUIRE(!words);
  CHECK(contains(words.error().message(), "Apple's container 1.2.2"));
}
