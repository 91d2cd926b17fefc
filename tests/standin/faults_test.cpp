#include <csignal>

#include "standin/kit.hpp"
#include "support/catch.hpp"

using namespace standin::kit;
using standin::Version;

namespace {

const Words kList = {"list", "--all", "--format", "json"};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Running start_sleeper(const Standin& cli, const std::string& id) {
  REQUIRE(cli.run({"create", "--name", id, "--", "alpine", "sh", "-c", "echo up; exec sleep 100"})
              .code == 0);
  Running attached = cli.start({"start", "-a", id});
  REQUIRE(attached.await_output("up\n"));
  return attached;
}

std::string state_of(const Standin& cli, const std::string& id) {
  return standin::get_string(cli.json({"inspect", id})[0]["status"], "state");
}

}  // namespace

TEST_CASE("a hanging call is switched on and off for one subcommand", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("list", "hang");
  Running hanging = cli.start(kList);
  CHECK(hanging.wait(200).code < 0);
  CHECK(cli.run({"network", "list"}).code == 0);
  cli.no_fault("list");
  CHECK(cli.run(kList).code == 0);
}

TEST_CASE("a call waits until it is let go, and then does its work", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("network-create", "wait");
  Running waiting = cli.start({"network", "create", "apart"});
  CHECK(waiting.wait(200).code < 0);
  CHECK(cli.json({"network", "list", "--format", "json"}).Size() == 1);
  cli.no_fault("network-create");
  CHECK(waiting.wait().code == 0);
  CHECK(cli.json({"network", "list", "--format", "json"}).Size() == 2);
}

TEST_CASE("a fault may be limited to a number of calls", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("list", "xpc times 2");
  for (const int code : {1, 1, 0}) {
    const Result result = cli.run(kList);
    CHECK(result.code == code);
    CHECK(holds(result.err, "XPC connection error") == (code == 1));
    CHECK(holds(result.err, "container system start") == (code == 1));
  }
}

TEST_CASE("the record of a call tells the fault that it met", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("list", "xpc times 1");
  cli.fault("all", "slow 1");
  cli.run(kList);
  cli.run(kList);
  cli.no_fault("all");
  cli.run(kList);
  const std::string calls = cli.read("calls.jsonl");
  CHECK(holds(calls, R"("--format","json"],"fault":"list xpc"})"));
  CHECK(holds(calls, R"("--format","json"],"fault":"all slow"})"));
  CHECK(holds(calls, R"("--format","json"]})"));
}

TEST_CASE("slow, failing and garbled answers", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("all", "slow 150");
  const int64_t before = standin::now_ms();
  CHECK(cli.run(kList).code == 0);
  CHECK(standin::now_ms() - before >= 150);
  cli.fault("all", "exit 7 it broke");
  const Result broken = cli.run(kList);
  CHECK(broken.code == 7);
  CHECK(broken.err == "Error: it broke\n");
  cli.fault("all", "garbage");
  CHECK_FALSE(standin::parse_json(cli.run(kList).out));
  cli.no_fault("all");
  cli.run({"create", "--", "alpine"});
  cli.fault("list", "truncated");
  const Result cut = cli.run(kList);
  CHECK(cut.out.starts_with("[{"));
  CHECK_FALSE(standin::parse_json(cut.out));
}

TEST_CASE("a call may die after it has done its work", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("create", "die-after times 1");
  CHECK(cli.run({"create", "--name", "job-1", "--", "alpine"}).code == 137);
  CHECK(cli.json({"inspect", "job-1"}).Size() == 1);
}

TEST_CASE("the attached CLI may die while the workload lives", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("start", "die 50");
  REQUIRE(cli.run({"create", "--name", "job-1", "--", "alpine", "sleep", "100"}).code == 0);
  CHECK(cli.run({"start", "-a", "job-1"}).code == 137);
  const pid_t workload = cli.pid_of("job-1");
  REQUIRE(workload > 0);
  CHECK(is_alive(workload));
}

TEST_CASE("a wrong state is reported for one container", "[faults]") {
  const Standin cli(Version::v1_2_2);
  const Running attached = start_sleeper(cli, "job-1");
  cli.fault("state/job-1", "stopped");
  CHECK(state_of(cli, "job-1") == "stopped");
  CHECK(cli.json({"list", "--format", "json"}).Empty());
  cli.fault("state/job-1", "missing");
  CHECK(cli.run({"inspect", "job-1"}).code == 1);
  CHECK(cli.json(kList).Empty());
  cli.no_fault("state/job-1");
  CHECK(state_of(cli, "job-1") == "running");
}

TEST_CASE("start dates may be missing", "[faults]") {
  for (const auto version : {Version::v0_11_0, Version::v1_2_2}) {
    const Standin cli(version);
    const Running attached = start_sleeper(cli, "job-1");
    const auto dated = [&] { return holds(cli.run({"inspect", "job-1"}).out, "startedDate"); };
    CHECK(dated());
    cli.fault("no-start-dates", "x");
    CHECK_FALSE(dated());
    CHECK(holds(cli.run({"inspect", "job-1"}).out, "running"));
  }
}

TEST_CASE("a daemon that is down answers nothing but system", "[faults]") {
  for (const auto version : {Version::v0_11_0, Version::v1_2_2}) {
    const Standin cli(version);
    cli.fault("daemon-down", "");
    CHECK(holds(cli.run(kList).err, "XPC connection error"));
    const Result status = cli.run({"system", "status", "--format", "json"});
    CHECK(status.code == 1);
    CHECK(standin::get_string(*standin::parse_json(status.out), "status") == "not running");
    CHECK(cli.json({"system", "version", "--format", "json"}).Size() == 1);
    CHECK(cli.run({"system", "start"}).code == 0);
    CHECK(cli.run(kList).code == 0);
  }
}

TEST_CASE("a crashed daemon forgets containers whose workloads live", "[faults]") {
  const Standin cli(Version::v1_2_2);
  Running attached = start_sleeper(cli, "job-1");
  const pid_t workload = cli.pid_of("job-1");
  cli.fault("daemon-crash", "");
  CHECK(cli.run(kList).code == 1);
  CHECK(attached.wait().code == 255);
  CHECK(is_alive(workload));
  CHECK(state_of(cli, "job-1") == "stopped");
  CHECK_FALSE(cli.json({"inspect", "job-1"})[0]["status"].HasMember("startedDate"));
  CHECK(cli.run({"stop", "job-1"}).code == 0);
  CHECK(is_alive(workload));
  CHECK(cli.run({"kill", "job-1"}).code == 1);
  CHECK(cli.run({"start", "job-1"}).code == 1);
  CHECK(cli.run({"delete", "job-1"}).code == 0);
  CHECK(eventually([&] { return !is_alive(workload); }));
}

TEST_CASE("a daemon of another version shows in system version", "[faults]") {
  const Standin cli(Version::v1_2_2);
  cli.fault("daemon-version", "1.1.0");
  const auto json = cli.json({"system", "version", "--format", "json"});
  CHECK(standin::get_string(json[0], "version") == "1.2.2");
  CHECK(holds(standin::get_string(json[1], "version"), "container-apiserver version 1.1.0 "));
}
