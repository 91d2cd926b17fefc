// The JSON of each family against the shapes of recorded outputs (shapes/): the same paths with the
// same types, no more and no less.
#include <unistd.h>

#include "standin/kit.hpp"
#include "support/catch.hpp"

using namespace standin::kit;
using standin::Version;

namespace {

struct Recorded {
  Version version;
  const char* name;
};
constexpr Recorded kRecorded[] = {
    {Version::v0_11_0, "0.11.0"}, {Version::v1_0_0, "1.0.0"}, {Version::v1_2_2, "1.2.2"}};

void compare(const standin::Value& value, const std::string& recorded) {
  const auto got = shape_of(value);
  const auto wanted = recorded_shape(recorded);
  REQUIRE_FALSE(wanted.empty());
  for (const auto& line : wanted) {
    INFO(recorded << " lacks " << line);
    CHECK(got.count(line) == 1);
  }
  for (const auto& line : got) {
    INFO(recorded << " does not have " << line);
    CHECK(wanted.count(line) == 1);
  }
}

// Compact or pretty, sorted or not, and one newline at the end.
void check_layout(const Standin& cli, const Words& words, bool pretty) {
  const std::string out = cli.run(words).out;
  const auto json = standin::parse_json(out);
  REQUIRE(json);
  CHECK(out.ends_with("\n"));
  if (standin::is_old(cli.version())) {
    CHECK(out.find('\n') == out.size() - 1);
  } else {
    CHECK(out == standin::to_text(*json, pretty, standin::Keys::sorted) + "\n");
  }
}

// The three containers of the recorded outputs.
void create_three(Standin* cli) {
  standin::write_file(cli->path("registry.json"), R"({
    "nginx:1.29-alpine": {"Entrypoint": ["/bin/sh"], "Cmd": ["-c", "echo up; exec sleep 100"],
                          "Env": ["PATH=/bin:/usr/bin"], "StopSignal": "SIGQUIT"},
    "alpine:3.22": {}})");
  const std::string source = cli->path("local");
  standin::make_directories(source);
  const auto first = 20000 + getpid() % 10000;  // ports of this test
  const std::string port = std::to_string(first);
  const std::string range = port + "-" + std::to_string(first + 2);
  Words words = {"create",
                 "--name",
                 "web-8f1c2a9e",
                 "-v",
                 source + ":/local",
                 "-v",
                 source + ":/secrets:ro",
                 "--tmpfs",
                 "/run/cache",
                 "-v",
                 "webdata:/var/lib/web",
                 "-p",
                 "127.0.0.1:" + port + ":" + port,
                 "-p",
                 range + ":" + range + "/udp",
                 "--publish-socket",
                 cli->path("web.sock") + ":/run/web.sock",
                 "--ulimit",
                 "nofile=65536",
                 "--dns",
                 "1.1.1.1",
                 "--dns-domain",
                 "test",
                 "--dns-search",
                 "svc.test",
                 "--dns-option",
                 "ndots:2",
                 "-e",
                 "NOMAD_TASK_NAME=web",
                 "-l",
                 "dev.example.nomad.alloc=8f1c2a9e",
                 "-l",
                 "flag"};
  if (cli->version() >= Version::v0_12_3) {
    words.insert(words.end(), {"--cap-add", "NET_ADMIN", "--cap-drop", "MKNOD"});
  }
  if (cli->version() >= Version::v1_0_0) words.insert(words.end(), {"--shm-size", "128m"});
  if (cli->version() >= Version::v1_2_2) {
    words.insert(words.end(), {"--masked-path", "/proc/x", "--read-only-path", "/proc/y"});
  }
  words.insert(words.end(), {"--", "nginx:1.29-alpine"});
  const Result web = cli->run(words);
  INFO(web.err);
  REQUIRE(web.code == 0);
  REQUIRE(cli->run({"start", "web-8f1c2a9e"}).code == 0);
  Words job = {"create", "--name", "job-41d0b7c3", "-u", "nobody"};
  if (cli->version() >= Version::v0_12_3) job.insert(job.end(), {"--cap-drop", "ALL"});
  job.insert(job.end(), {"--", "alpine:3.22", "sh", "-c", "exit 3"});
  REQUIRE(cli->run(job).code == 0);
  const Result ended = cli->run({"start", "-a", "job-41d0b7c3"});
  REQUIRE((ended.code == 3 || ended.code == 1));
  // The state may turn a moment after the call returned.
  REQUIRE(eventually(
      [&] { return !cli->read("containers/job-41d0b7c3/state").starts_with("running"); }));
  REQUIRE(cli->run({"create", "--no-dns", "--network", "none", "--", "alpine:3.22"}).code == 0);
}

}  // namespace

TEST_CASE("inspect and list have the shapes of their family", "[shapes]") {
  for (const auto& [version, name] : kRecorded) {
    Standin cli(version);
    create_three(&cli);
    const Words list = {"list", "--all", "--format", "json"};
    const auto json = cli.json(list);
    REQUIRE(json.Size() == 3);
    compare(json, std::string("list-") + name);
    check_layout(cli, list, false);
    Words inspect = {"inspect"};
    for (const auto& id : standin::list_directory(cli.path("containers"))) inspect.push_back(id);
    compare(cli.json(inspect), std::string("inspect-") + name);
    check_layout(cli, inspect, true);
    CHECK(cli.json({"list", "--format", "json"}).Size() == 1);
  }
}

TEST_CASE("stats tell of running containers only", "[shapes]") {
  for (const auto& [version, name] : kRecorded) {
    Standin cli(version);
    create_three(&cli);
    const Words words = {"stats", "--format", "json", "--no-stream"};
    const auto json = cli.json(words);
    REQUIRE(json.Size() == 1);
    CHECK(json[0]["memoryLimitBytes"].GetUint64() == 1073741824);
    CHECK(json[0]["memoryUsageBytes"].GetUint64() > 0);
    CHECK(json[0]["numProcesses"].GetUint64() == 1);
    const auto recorded = recorded_shape(std::string("stats-") + name);
    for (const auto& line : shape_of(json)) {
      INFO(line);
      CHECK(recorded.count(line) == 1);
    }
    check_layout(cli, words, false);
  }
}

TEST_CASE("images have the shapes of their family", "[shapes]") {
  for (const auto& [version, name] : kRecorded) {
    const Standin cli(version);
    for (const char* platform : {"linux/arm64", "linux/amd64"}) {
      REQUIRE(
          cli.run({"image", "pull", "--progress", "none", "--platform", platform, "alpine:3.22"})
              .code == 0);
    }
    compare(cli.json({"image", "list", "--format", "json"}), std::string("image-list-") + name);
    compare(cli.json({"image", "inspect", "alpine:3.22"}), std::string("image-inspect-") + name);
    check_layout(cli, {"image", "list", "--format", "json"}, false);
    check_layout(cli, {"image", "inspect", "alpine:3.22"}, true);
  }
}

TEST_CASE("networks have the shapes of their family", "[shapes]") {
  for (const auto& [version, name] : kRecorded) {
    const Standin cli(version);
    REQUIRE(cli.run({"network", "create", "--internal", "--subnet", "10.80.0.0/24", "--label",
                     "dev.example.nomad=1", "backend"})
                .out == "backend\n");
    const Words list = {"network", "list", "--format", "json"};
    compare(cli.json(list), std::string("network-list-") + name);
    check_layout(cli, list, false);
  }
}

TEST_CASE("system status and version have the shapes of their family", "[shapes]") {
  for (const auto& [version, name] : kRecorded) {
    const Standin cli(version);
    compare(cli.json({"system", "status", "--format", "json"}),
            std::string("system-status-") + name);
    const auto json = cli.json({"system", "version", "--format", "json"});
    compare(json, std::string("system-version-") + name);
    CHECK(std::string(json[0]["version"].GetString()) == name);
    check_layout(cli, {"system", "version", "--format", "json"}, false);
    CHECK(cli.run({"--version"}).out.starts_with(std::string("container CLI version ") + name));
  }
}
