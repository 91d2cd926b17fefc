// The adapter over the stand-in: how the end of a task is learned, from a CLI and an engine that
// hang, lie or die.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "cli/apple_node.hpp"
#include "runtime/log_route.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

bool unknown(const TaskExit& exit) { return std::holds_alternative<UnknownExit>(exit.status); }

// The process that stands for what runs in the machine.
pid_t workload_of(const Node& node) {
  const std::string state = node.recorded("containers/" + node.id + "/state");
  int pid = 0;
  REQUIRE(std::sscanf(state.c_str(), "running %d", &pid) == 1);
  REQUIRE(pid > 0);  // kill() takes a number below 1 for many
  return pid;
}

// A script that waits for the file first.
std::string after(const std::string& file, const std::string& script) {
  return "until [ -e " + file + " ]; do sleep 0.1; done; " + script;
}

bool has_usage(const Node& node, const ContainerRef& container) {
  const Awaited<bool> sampled;
  node.runtime->sample({container}, [sampled](const std::vector<UsageReading>& got) {
    sampled.set(got.at(0).sample.has_value());
  });
  return sampled.get(kLong);
}

// As with gc.container off.
Expected<void> destroy_and_keep(const Node& node, const ContainerRef& container) {
  return node.call(
      [&](Done<void> done) { node.runtime->remove(container, true, std::move(done)); });
}

// For the next plugin. A CLI may stay attached to a container that is over for twice as long: who
// waits for that wants it short.
void set_command_timeout(Node& node, std::chrono::nanoseconds timeout) {
  node.config.command_timeout = timeout;
  node.restart();
}

Expected<void> remove_patiently(Node& node, const ContainerRef& container) {
  set_command_timeout(node, 10s);
  return node.remove(container);
}

// Where the time-out is short: what a busy machine does not answer in time is asked for again.
StartedContainer start_at_last(const Node& node, const std::string& script,
                               const Awaited<TaskExit>& exited) {
  std::optional<StartedContainer> out;
  const bool runs = eventually(
      [&] {
        if (auto started = node.start(script, exited)) out = std::move(*started);
        return out.has_value();
      },
      kLong);
  REQUIRE(runs);
  return *out;
}

}  // namespace

TEST_CASE("exit 1 of the task is its own, exit 1 of the CLI is not") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    const Awaited<TaskExit> exited;
    const auto started = node.start("echo Error: mine >&2; exit 1", exited);
    REQUIRE(started);
    CHECK(exited.get(kLong).status == ExitStatus{Exited{1}});
    CHECK(node.remove(started->container));
    const Awaited<TaskExit> never;
    const auto failed = node.start("", never, [](TaskConfig& c) { c.command = "/no/such/file"; });
    REQUIRE(!failed);
    CHECK(failed.error().code == ErrorCode::kStartFailed);
    CHECK(!std::filesystem::exists(node.files()));
  }
}

// There the CLI's own words come between the task's.
TEST_CASE("with a terminal, too, exit 1 of the CLI is not the task's") {
  const auto tty = [](TaskConfig& c) { c.tty = true; };
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    const Awaited<TaskExit> exited;
    const auto started = node.start("echo Error: mine; exit 1", exited, tty);
    REQUIRE(started);
    CHECK(exited.get(kLong).status == ExitStatus{Exited{1}});
    CHECK(node.remove(started->container));
    const Awaited<TaskExit> never;
    const auto failed = node.start("", never, [&](TaskConfig& c) {
      tty(c);
      c.command = "/no/such/file";
    });
    REQUIRE(!failed);
    CHECK(failed.error().code == ErrorCode::kStartFailed);
    CHECK(contains(failed.error().message(), "/no/such/file"));
    node.fault("start", "xpc-after");
    const Awaited<TaskExit> lost;
    const auto cut = node.start("sleep 1", lost, tty);
    REQUIRE(cut);
    CHECK(unknown(lost.get(kLong)));
    CHECK(node.remove(cut->container));
  }
}

TEST_CASE("exit 1 without words like the CLI's is the task's own, whatever the engine says") {
  for (const char* words : {"", "echo mine >&2; "}) {
    Node node;
    node.fault("state/" + node.id, "running");
    const Awaited<TaskExit> exited;
    const auto started = node.start(words + std::string{"exit 1"}, exited);
    REQUIRE(started);
    CHECK(exited.get(kLong).status == ExitStatus{Exited{1}});
    CHECK(node.remove(started->container));
  }
}

// They may be the task's or those of a CLI that failed, and then the task runs on: only what the
// engine says of the container tells.
TEST_CASE("exit 1 behind words like the CLI's is the task's own once its container is over") {
  for (const bool gone : {false, true}) {
    Node node{"1.2.2", "NDC_STANDIN_STATE_LAG_MS=1500\n"};
    const std::string go = node.directory / "go";
    const Awaited<TaskExit> exited;
    const auto started = node.start(after(go, "echo Error: mine >&2; exit 1"), exited);
    REQUIRE(started);
    if (gone) node.fault("state/" + node.id, "missing");
    { const std::ofstream made{go}; }
    CHECK(exited.get(kLong).status == ExitStatus{Exited{1}});
    node.fault("state/" + node.id, "");
    REQUIRE(eventually([&] { return !contains(node.ask("list --quiet"), node.id); }, kLong));
    CHECK(node.remove(started->container));
  }
}

TEST_CASE("exit 1 behind words like the CLI's is no exit while the container runs on") {
  Node node;
  const std::string go = node.directory / "go";
  const Awaited<TaskExit> exited;
  const auto started = node.start(after(go, "echo Error: mine >&2; exit 1"), exited);
  REQUIRE(started);
  node.fault("state/" + node.id, "running");
  { const std::ofstream made{go}; }
  const auto route = node.runtime->open_logs({"/dev/null", "/dev/null"}, false);
  REQUIRE(route);
  const Awaited<std::string> told;
  (*route)->follow(started->container, [told](const Error& error) { told.set(error.message()); });
  CHECK(contains(told.get(kLong), "the attached CLI failed (mine): the task goes on"));
  const int before = node.calls("list");
  REQUIRE(eventually([&] { return node.calls("list") > before; }, kLong));
  CHECK(!exited.is_set());
  node.fault("state/" + node.id, "");
  const TaskExit exit = exited.get(kLong);
  CHECK(unknown(exit));
  CHECK(contains(describe(exit), "the attached CLI failed (mine)"));
  CHECK(node.remove(started->container));
}

TEST_CASE("exit 1 of the task is its own, however late the engine sees it") {
  Node node{"1.2.2", "NDC_STANDIN_STATE_LAG_MS=6000\n"};  // past every patience with it
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 1", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{1}});
  REQUIRE(eventually([&] { return !contains(node.ask("list --quiet"), node.id); }, kLong));
  CHECK(node.remove(started->container));
}

TEST_CASE("a CLI that ended before the process ran has failed to start it, whatever its code") {
  Node node;
  for (const char* code : {"2", "64", "130", "143"}) {
    node.fault("start", "exit " + std::string{code} + " Unknown option '--attach'");
    const Awaited<TaskExit> never;
    const auto started = node.start("sleep 30", never);
    REQUIRE(!started);
    CHECK(contains(started.error().message(), "Unknown option '--attach'"));
    CHECK(!std::filesystem::exists(node.files()));
    CHECK(!never.is_set());
  }
  node.fault("start", "");
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 143", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{143}});
  CHECK(node.remove(started->container));
}

TEST_CASE("a CLI that was killed leaves an unknown exit, not a number") {
  Node node;
  node.fault("start", "die 300");
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 2; exit 5", exited);
  REQUIRE(started);
  const TaskExit exit = exited.get(kLong);
  CHECK(unknown(exit));
  CHECK(contains(describe(exit), "SIGKILL"));
  CHECK(node.remove(started->container));
}

TEST_CASE("a container that stops, or is in a state that nobody knows, has not ended yet") {
  for (const char* state : {"stopping", "unknown"}) {
    Node node;
    node.fault("start", "die 1000");
    const Awaited<TaskExit> exited;
    const auto started = node.start("sleep 30", exited);
    REQUIRE(started);
    node.fault("state/" + node.id, state);
    REQUIRE(eventually([&] { return read_exit_record(node.files()).has_value(); }, kLong));
    const int before = node.calls("list");
    REQUIRE(eventually([&] { return node.calls("list") >= before + 3; }, kLong));
    CHECK(!exited.is_set());
    node.fault("state/" + node.id, "stopped");
    CHECK(unknown(exited.get(kLong)));
    node.fault("state/" + node.id, "");
    CHECK(node.remove(started->container));
  }
}

TEST_CASE("after a crash of the daemon an exit is unknown") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.fault("daemon-crash", "x times 1");
  (void)run(*node.loop, shell(node.directory / "container" + " list; true"));
  CHECK(unknown(exited.get(kLong)));
  CHECK(node.remove(started->container));
}

TEST_CASE(
    "what may run on after a crash of the daemon is removed though ended containers are kept") {
  const bool monitored = GENERATE(true, false);
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    const Awaited<TaskExit> exited;
    const auto started = node.start("sleep 300", exited);
    REQUIRE(started);
    const pid_t workload = workload_of(node);
    if (!monitored) node.kill_monitor();
    node.fault("daemon-crash", "x");
    (void)node.ask("list");
    const TaskExit exit = exited.get(kLong);
    CHECK(unknown(exit));
    CHECK(contains(exit.note, "may still run"));
    CHECK(::kill(workload, 0) == 0);
    CHECK(destroy_and_keep(node, started->container));
    CHECK(!contains(node.ask("list --all --quiet"), node.id));
    CHECK(eventually([&] { return ::kill(workload, 0) != 0; }));
    CHECK(!std::filesystem::exists(node.files()));
  }
}

TEST_CASE("a plugin that comes after the crash of the daemon removes what may run on, too") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 300", exited);
  REQUIRE(started);
  const pid_t workload = workload_of(node);
  node.fault("daemon-crash", "x");
  (void)node.ask("list");
  CHECK(unknown(exited.get(kLong)));
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  // The engine is asked again, and does not answer at once.
  const TaskExit exit = std::holds_alternative<TaskExit>(*attached) ? std::get<TaskExit>(*attached)
                                                                    : later.get(kLong);
  CHECK(unknown(exit));
  CHECK(destroy_and_keep(node, started->container));
  CHECK(eventually([&] { return ::kill(workload, 0) != 0; }));
}

TEST_CASE("a container whose end was seen is kept where the operator wants that") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 3", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  CHECK(destroy_and_keep(node, started->container));
  CHECK(contains(node.ask("list --all --quiet"), node.id));
  CHECK(!std::filesystem::exists(node.files()));
  CHECK(node.remove(started->container));
}

TEST_CASE("a failed question is no exit: a task that ended like a CLI waits for the answer") {
  Node node;
  const Awaited<TaskExit> exited;
  const std::string go = node.directory / "go";
  const auto started = node.start(
      "until [ -e " + go + " ]; do sleep 0.1; done; echo Error: mine >&2; exit 1", exited);
  REQUIRE(started);
  node.fault("list", "exit 1 something is wrong");
  { const std::ofstream made{go}; }
  REQUIRE(eventually([&] { return read_exit_record(node.files()).has_value(); }, kLong));
  // Asked in vain, and asked again.
  const int before = node.calls("list");
  REQUIRE(eventually([&] { return node.calls("list") >= before + 2; }, kLong));
  CHECK(!exited.is_set());
  node.fault("list", "");
  CHECK(exited.get(kLong).status == ExitStatus{Exited{1}});
  CHECK(node.remove(started->container));
}

// Nobody lists containers or samples their usage here, as without the reaper and with a client that
// collects nothing.
TEST_CASE("a CLI that stays attached to a container that is over does not hide the end") {
  for (const bool removed : {false, true}) {
    Node node;
    set_command_timeout(node, 500ms);
    node.fault("start", "hang-after");
    const Awaited<TaskExit> exited;
    const auto started = start_at_last(node, "sleep 1; exit 3", exited);
    if (removed) node.fault("state/" + node.id, "missing");
    const TaskExit exit = exited.get(kLong);
    CHECK(unknown(exit));
    CHECK(contains(describe(exit), "does not return"));
    CHECK(contains(describe(exit), removed ? "none of this name" : "has stopped"));
    node.fault("state/" + node.id, "");
    CHECK(remove_patiently(node, started.container));
  }
}

TEST_CASE("a container that a new plugin has found again is looked at, too") {
  Node node;
  node.fault("start", "hang-after");
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 2; exit 3", exited);
  REQUIRE(started);
  set_command_timeout(node, 500ms);
  const Awaited<TaskExit> later;
  REQUIRE(node.attach(started->container, later));
  CHECK(contains(describe(later.get(kLong)), "does not return"));
  CHECK(remove_patiently(node, started->container));
}

TEST_CASE("samples of usage spare the looks at containers that run, and begin them when one ends") {
  Node node;
  node.fault("start", "hang-after");
  const std::string go = node.directory / "go";
  const Awaited<TaskExit> exited;
  const auto started = node.start(after(go, "exit 3"), exited);
  REQUIRE(started);
  set_command_timeout(node, 2s);
  using Clock = std::chrono::steady_clock;
  auto asked = Clock::now();
  std::chrono::nanoseconds longest{};
  const auto note = [&] {
    const auto now = Clock::now();
    longest = std::max<std::chrono::nanoseconds>(longest, now - std::exchange(asked, now));
  };
  const Awaited<TaskExit> later;
  REQUIRE(node.attach(started->container, later));
  note();
  CHECK(has_usage(node, started->container));
  int before = node.calls("list");
  // Past the time in which somebody would look otherwise.
  const auto until = Clock::now() + 3 * node.config.command_timeout;
  while (asked < until) {
    std::this_thread::sleep_for(100ms);
    note();
    CHECK(has_usage(node, started->container));
  }
  note();
  // Where a busy machine leaves twice that time without a sample somebody does look.
  if (longest < node.config.command_timeout) CHECK(node.calls("list") == before);
  before = node.calls("list");
  { const std::ofstream made{go}; }
  REQUIRE(
      eventually([&] { return !has_usage(node, started->container) && later.is_set(); }, kLong));
  CHECK(contains(describe(later.get(kLong)), "does not return"));
  CHECK(node.calls("list") <= before + 4);  // two as a rule, however many samples there were
  CHECK(remove_patiently(node, started->container));
}

TEST_CASE("a container that samples miss has not ended while the engine says that it runs") {
  Node node;
  node.fault("start", "hang-after");
  const Awaited<TaskExit> never;
  const auto started = node.start("sleep 1; exit 3", never);
  REQUIRE(started);
  node.fault("state/" + node.id, "running");
  set_command_timeout(node, 500ms);
  const Awaited<TaskExit> exited;
  REQUIRE(node.attach(started->container, exited));
  REQUIRE(eventually([&] { return !has_usage(node, started->container); }, kLong));
  const int before = node.calls("list");
  REQUIRE(eventually([&] { return node.calls("list") >= before + 4; }, kLong));
  CHECK(!exited.is_set());
  node.fault("state/" + node.id, "");
  CHECK(contains(describe(exited.get(kLong)), "does not return"));
  CHECK(remove_patiently(node, started->container));
}

TEST_CASE("a task that ended with its monitor, while no plugin was there, is not said to go on") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.runtime.reset();
  node.kill_monitor();
  (void)node.ask("stop --time 0 " + node.id);
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  CHECK(std::holds_alternative<TaskExit>(*attached));
  const auto route = node.runtime->open_logs({"/dev/null", "/dev/null"}, false);
  REQUIRE(route);
  const Awaited<std::string> told;
  (*route)->follow(started->container, [told](const Error& error) { told.set(error.message()); });
  CHECK(node.remove(started->container));
  CHECK(!told.is_set());
}

TEST_CASE("an exit record that was damaged while no plugin was there is no exit, and said to be") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 1; exit 3", exited);
  REQUIRE(started);
  node.runtime.reset();
  REQUIRE(eventually(
      [&] { return read_exit_record(node.files()) && living_monitor(node.files()) == 0; }, kLong));
  const std::string path = node.files() + "/exit";
  (void)run(*node.loop, shell("sed -i.before 's/^exited 3/exited 0/' " + path));
  CHECK(!read_exit_record(node.files()));
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  REQUIRE(std::holds_alternative<TaskExit>(*attached));
  const TaskExit& exit = std::get<TaskExit>(*attached);
  CHECK(unknown(exit));
  CHECK(contains(describe(exit), "damaged"));
  CHECK(node.remove(started->container));
}

TEST_CASE("output that nobody collects is not kept either") {
  Node node;
  node.config.disable_log_collection = true;
  node.restart();
  node.spec->stdout_path = node.spec->stderr_path = node.directory / "no/such/fifo";
  const Awaited<TaskExit> exited;
  const auto started = node.start("head -c 1000000 /dev/zero; exit 3", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  CHECK(spooled(node.files()) == 0);
  CHECK(node.remove(started->container));
}
