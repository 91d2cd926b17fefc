#include <sys/stat.h>

#include <csignal>
#include <cstdlib>

#include "standin/kit.hpp"
#include "support/catch.hpp"

using namespace standin::kit;
using standin::Version;

namespace {

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void create(const Standin& cli, const std::string& id, const std::string& script) {
  const Result result = cli.run({"create", "--name", id, "--", "alpine", "sh", "-c", script});
  INFO(result.err);
  REQUIRE(result.code == 0);
  REQUIRE(result.out == id + "\n");
}

std::string state_of(const Standin& cli, const std::string& id) {
  auto json = cli.json({"inspect", id});
  if (json.Empty()) return "";
  if (standin::is_old(cli.version())) return standin::get_string(json[0], "status");
  return standin::get_string(json[0]["status"], "state");
}

bool is_socket(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

bool has_start_date(const Standin& cli, const std::string& id) {
  auto json = cli.json({"inspect", id});
  return standin::is_old(cli.version()) ? json[0].HasMember("startedDate")
                                        : json[0]["status"].HasMember("startedDate");
}

}  // namespace

TEST_CASE("create and start -a deliver the exit code, and nothing else holds it", "[lifecycle]") {
  for (const auto version : kVersions) {
    const Standin cli(version);
    create(cli, "job-1", "echo out; echo err >&2; exit 37");
    CHECK(state_of(cli, "job-1") == "stopped");
    CHECK_FALSE(has_start_date(cli, "job-1"));
    const Result result = cli.run({"start", "-a", "job-1"});
    CHECK(result.code == 37);
    CHECK(result.out == "out\n");
    CHECK(result.err == "err\n");
    CHECK(eventually([&] { return state_of(cli, "job-1") == "stopped"; }));
    CHECK(has_start_date(cli, "job-1"));
    // As a whole number: a time may end in the same digits.
    const std::string record = cli.run({"inspect", "job-1"}).out;
    CHECK_FALSE(holds(record, ":37,"));
    CHECK_FALSE(holds(record, ": 37,"));
    CHECK_FALSE(holds(cli.read("containers/job-1/state"), " 37 "));
  }
}

TEST_CASE("what is deleted while it starts does not run afterwards", "[lifecycle]") {
  Standin cli(Version::v1_2_2);
  cli.set("NDC_STANDIN_START_MS", "200");
  create(cli, "job-1", "echo $$ >" + cli.path("pid") + "; exec sleep 1000");
  Running attached = cli.start({"start", "-a", "job-1"});
  REQUIRE(eventually(
      [&] { return standin::is_locked(cli.path("start.lock")) || cli.pid_of("job-1") != 0; }));
  REQUIRE(cli.run({"delete", "--force", "job-1"}).code == 0);
  CHECK(attached.wait().code == 137);
  const std::string pid = cli.read("pid");
  CHECK((pid.empty() || !is_alive(std::stoi(pid))));
}

TEST_CASE("a process that dies of a signal gives 128 and its number", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "kill -9 $$");
  CHECK(cli.run({"start", "-a", "job-1"}).code == 137);
}

TEST_CASE("a detached container runs on, and its code is lost", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  const Result result = cli.run(
      {"run", "-d", "--progress", "none", "--name", "job-1", "--", "alpine", "sh", "-c", "exit 3"});
  CHECK(result.code == 0);
  CHECK(result.out == "job-1\n");
  CHECK(eventually([&] { return state_of(cli, "job-1") == "stopped"; }));
}

TEST_CASE("kill and stop reach the workload and the attached call returns", "[lifecycle]") {
  for (const auto version : {Version::v0_11_0, Version::v1_2_2}) {
    const Standin cli(version);
    create(cli, "job-1", "trap 'exit 5' USR1; echo up; while :; do sleep 0.05; done");
    Running attached = cli.start({"start", "-a", "job-1"});
    REQUIRE(attached.await_output("up\n"));
    CHECK(state_of(cli, "job-1") == "running");
    CHECK(cli.run({"kill", "-s", "10", "job-1"}).out == "job-1\n");
    CHECK(attached.wait().code == 5);

    create(cli, "job-2", "trap '' TERM; echo up; while :; do sleep 0.05; done");
    Running stubborn = cli.start({"start", "-a", "job-2"});
    REQUIRE(stubborn.await_output("up\n"));
    CHECK(cli.run({"stop", "-t", "0", "job-2"}).code == 0);
    CHECK(stubborn.wait().code == 137);
    CHECK(cli.run({"stop", "job-2"}).code == 0);
    const Result killed = cli.run({"kill", "job-2"});
    CHECK(killed.code == 1);
    CHECK(holds(killed.err, "container is stopped"));
  }
}

TEST_CASE("signal names hit the wrong signal in 0.x", "[lifecycle]") {
  const Standin cli(Version::v0_12_3);
  create(cli, "job-1",
         "trap 'exit 1' USR1; trap 'exit 2' PWR; echo up; while :; do sleep 0.05; done");
  Running attached = cli.start({"start", "-a", "job-1"});
  REQUIRE(attached.await_output("up\n"));
  cli.run({"kill", "-s", "USR1", "job-1"});
  CHECK(attached.wait().code == 2);
}

TEST_CASE("the death of the attached CLI leaves workload and state alone", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "echo up; exec sleep 100");
  Running attached = cli.start({"start", "-a", "job-1"});
  REQUIRE(attached.await_output("up\n"));
  const pid_t workload = cli.pid_of("job-1");
  attached.signal(SIGKILL);
  CHECK(attached.wait().code == 137);
  CHECK(is_alive(workload));
  CHECK(state_of(cli, "job-1") == "running");
  const Result again = cli.run({"start", "-a", "job-1"});
  CHECK(again.code == 1);
  CHECK(holds(again.err, "attach is currently unsupported on already running containers"));
  CHECK(cli.run({"start", "job-1"}).out == "job-1\n");
  CHECK(cli.run({"delete", "job-1"}).code == 1);
  CHECK(cli.run({"delete", "-f", "job-1"}).code == 0);
  CHECK(eventually([&] { return !is_alive(workload); }));
}

TEST_CASE("the death of the helper is the death of the machine", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "echo up; exec sleep 100");
  Running attached = cli.start({"start", "-a", "job-1"});
  REQUIRE(attached.await_output("up\n"));
  const pid_t workload = cli.pid_of("job-1");
  const pid_t helper = cli.pid_of("job-1", 2);
  REQUIRE(helper > 1);
  kill(helper, SIGKILL);
  CHECK(attached.wait().code == 255);
  // A killed process lets go of its descriptors one by one, and of the connection before the lock.
  CHECK(eventually([&] { return state_of(cli, "job-1") == "stopped"; }));
  kill(workload, SIGKILL);  // where the kernel has no parent-death signal
}

TEST_CASE("what the workload left behind ends with it", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "sleep 100 & echo $!; exit 0");
  const Result result = cli.run({"start", "-a", "job-1"});
  CHECK(result.code == 0);
  const auto left = static_cast<pid_t>(std::strtol(result.out.c_str(), nullptr, 10));
  REQUIRE(left > 1);
  CHECK(eventually([&] { return !is_alive(left); }));
}

TEST_CASE("missing containers are reported as the family does", "[lifecycle]") {
  for (const auto version : kVersions) {
    const Standin cli(version);
    create(cli, "job-1", "true");
    const Result one = cli.run({"inspect", "nope"});
    const Result both = cli.run({"inspect", "job-1", "nope"});
    if (standin::is_old(version)) {
      CHECK(one.code == 0);
      CHECK(one.out == "[]\n");
      CHECK(both.code == 0);
      CHECK(standin::parse_json(both.out)->Size() == 1);
    } else {
      CHECK(one.code == 1);
      CHECK(one.err == "Error: container not found: nope\n");
      CHECK(both.code == 1);
      CHECK(both.out.empty());
    }
    for (const char* verb : {"stop", "kill", "delete"}) {
      const Result result = cli.run({verb, "nope"});
      CHECK(result.code == 1);
      CHECK(holds(result.err, "Error: internalError: "));
      CHECK(holds(result.err, "notFound: \"container with ID nope not found\""));
    }
    CHECK(cli.run({"delete", "--force", "nope"}).code == 1);
    CHECK(holds(cli.run({"start", "nope"}).err, "get failed: container nope not found"));
    CHECK(holds(cli.run({"exec", "nope", "true"}).err, "get failed: container nope not found"));
    CHECK(cli.run({"exec", "job-1", "true"}).err == "Error: container job-1 is not running\n");
    CHECK(cli.run({"logs", "nope"}).code == 1);
    CHECK(cli.run({"logs", "job-1"}).code == 1);
    CHECK(cli.run({"stats", "--format", "json", "--no-stream", "nope"}).err ==
          "Error: no such container: nope\n");
  }
}

TEST_CASE("an ID is given once", "[lifecycle]") {
  for (const auto version : kVersions) {
    const Standin cli(version);
    create(cli, "job-1", "true");
    const Result again = cli.run({"create", "--name", "job-1", "--", "alpine"});
    CHECK(again.code == 1);
    CHECK(holds(again.err, "container already exists: job-1"));
    CHECK(holds(again.err, "failed to create container (cause:") == (version < Version::v1_2_2));
    CHECK(holds(cli.run({"run", "--name", "job-1", "--", "alpine"}).err,
                "container with id job-1 already exists"));
  }
}

TEST_CASE("a workload that cannot start is an error of the CLI and has no start date",
          "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  REQUIRE(cli.run({"create", "--name", "job-1", "--", "alpine", "/not/there"}).code == 0);
  const Result result = cli.run({"start", "-a", "job-1"});
  CHECK(result.code == 1);
  CHECK(holds(result.err, "failed to find target executable /not/there"));
  CHECK_FALSE(has_start_date(cli, "job-1"));
}

TEST_CASE("a bind source must be there when it is created and when it starts", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  const std::string source = cli.path("source");
  CHECK(holds(cli.run({"create", "-v", source + ":/x", "--", "alpine"}).err, "does not exist"));
  standin::make_directories(source);
  REQUIRE(cli.run({"create", "--name", "job-1", "-v", source + ":/x", "--", "alpine"}).code == 0);
  standin::remove_tree(source);
  CHECK(
      holds(cli.run({"start", "job-1"}).err, "mount source path '" + source + "' does not exist"));
}

TEST_CASE("a published socket is the host's for as long as the machine runs", "[lifecycle]") {
  for (const auto version : {Version::v0_11_0, Version::v1_2_2}) {
    const Standin cli(version);
    const std::string path = cli.path("host.sock");
    const Words common = {"create", "--publish-socket", path + ":/run/a.sock", "--name"};
    const auto create_as = [&](const std::string& id, const std::string& script) {
      Words words = common;
      words.insert(words.end(), {id, "--", "alpine", "sh", "-c", script});
      return cli.run(words);
    };
    REQUIRE(create_as("job-1", "echo up; exec sleep 100").code == 0);
    CHECK_FALSE(is_socket(path));
    Running attached = cli.start({"start", "-a", "job-1"});
    REQUIRE(attached.await_output("up\n"));
    CHECK(is_socket(path));
    const Result second = create_as("job-2", "true");
    CHECK(second.code == 1);
    CHECK(holds(second.err, "may be in use"));
    CHECK(cli.run({"delete", "--force", "job-1"}).code == 0);
    CHECK_FALSE(is_socket(path));
    attached.wait();

    REQUIRE(create_as("job-2", "exit 3").code == 0);
    CHECK(cli.run({"start", "-a", "job-2"}).code == 3);
    CHECK_FALSE(is_socket(path));
    REQUIRE(cli.run({"create", "--publish-socket", path + ":/run/a.sock", "--name", "job-3", "--",
                     "alpine", "/not/there"})
                .code == 0);
    CHECK(cli.run({"start", "-a", "job-3"}).code == 1);
    CHECK_FALSE(is_socket(path));

    // A machine that is killed leaves it.
    REQUIRE(create_as("job-4", "echo up; exec sleep 100").code == 0);
    Running crashed = cli.start({"start", "-a", "job-4"});
    REQUIRE(crashed.await_output("up\n"));
    const pid_t workload = cli.pid_of("job-4");
    const pid_t helper = cli.pid_of("job-4", 2);
    REQUIRE(helper > 1);
    kill(helper, SIGKILL);
    CHECK(crashed.wait().code == 255);
    CHECK(is_socket(path));
    kill(workload, SIGKILL);  // where the kernel has no parent-death signal
  }
}

TEST_CASE("--rm removes the container after its exit", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  CHECK(cli.run({"run", "--rm", "--progress", "none", "--name", "job-1", "--", "alpine", "true"})
            .code == 0);
  CHECK(eventually([&] { return cli.json({"list", "-a", "--format", "json"}).Empty(); }));
}

TEST_CASE("argv errors come with usage and 64, and are recorded apart", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  const Result result = cli.run({"create", "--hostname", "x", "alpine"});
  CHECK(result.code == 64);
  CHECK(holds(result.err, "Error: Unknown option '--hostname'"));
  CHECK(holds(result.err, "Usage: container create"));
  CHECK(result.out.empty());
  CHECK(holds(cli.read("rejected.jsonl"), "--hostname"));
  cli.run({"list", "--format", "json"});
  CHECK(holds(cli.read("calls.jsonl"), R"("command":"list","argv":["list","--format","json"])"));
  CHECK_FALSE(holds(cli.read("calls.jsonl"), "--hostname"));
}

TEST_CASE("exec runs beside the workload with its environment", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  REQUIRE(
      cli.run({"create", "--name", "job-1", "-e", "A=b", "--", "alpine", "sleep", "100"}).code ==
      0);
  REQUIRE(cli.run({"start", "job-1"}).code == 0);
  const Result result = cli.run(
      {"exec", "-i", "-e", "C=d", "--", "job-1", "sh", "-c", "cat; echo $A$C; exit 9"}, "in ");
  CHECK(result.code == 9);
  CHECK(result.out == "in bd\n");
  CHECK(cli.run({"logs", "job-1"}).out.empty());
  CHECK(cli.run({"exec", "-d", "job-1", "true"}).out == "job-1\n");
  CHECK(holds(cli.run({"exec", "job-1", "/not/there"}).err, "failed to find target executable"));
  Running beside = cli.start({"exec", "job-1", "sh", "-c", "echo up; exec sleep 100"});
  REQUIRE(beside.await_output("up\n"));
  CHECK(cli.run({"delete", "-f", "job-1"}).code == 0);
  CHECK(beside.wait().code == 137);
}

TEST_CASE("every command that names several containers reports each", "[lifecycle]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "true");
  create(cli, "job-2", "true");
  const Result result = cli.run({"delete", "job-1", "a-missing", "b-missing", "job-2"});
  CHECK(result.code == 1);
  CHECK(result.out == "job-1\njob-2\n");
  CHECK(holds(result.err, "Error: internalError"));
  CHECK(holds(result.err, "\ninternalError"));
}
