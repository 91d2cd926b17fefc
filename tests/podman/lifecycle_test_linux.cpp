// PodmanRuntime without actors, over real containers: from start to removal.

#include <signal.h>

#include "podman_node.hpp"
#include "runtime/ended_already.hpp"

namespace ndc::test {
namespace {

constexpr const char* kUntilTold = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";

TEST_CASE("a task runs, its streams arrive apart, its exit code as it was") {
  const LeakCheck leaks;
  PodmanNode node;
  Collector out{node.path("out")};
  Collector err{node.path("err")};
  const auto task = node.task("echo to-out; echo to-err >&2; exit 3");
  const auto started = node.start(task, out.path(), err.path());
  const TaskExit exit = started.exit.get(kPodmanDeadline);
  CHECK(exit.status == ExitStatus{Exited{3}});
  CHECK_FALSE(exit.oom_killed);
  node.finish_logs();
  CHECK(out.all() == "to-out\n");
  CHECK(err.all() == "to-err\n");
  CHECK(node.has_files(task));
  REQUIRE(node.remove(started.ref()).has_value());
  CHECK_FALSE(node.exists(task.name()));
  CHECK_FALSE(node.has_files(task));
  CHECK(started.exit.times() == 1);
}

TEST_CASE("a terminal's output is pumped, and is a terminal's") {
  const LeakCheck leaks;
  PodmanNode node;
  Collector out{node.path("out")};
  Collector err{node.path("err")};
  auto task = node.task("test -t 1 && echo a terminal");
  task.config->tty = true;
  const auto started = node.start(task, out.path(), err.path());
  node.route()->follow(started.ref(), [](const Error&) {});
  CHECK(started.exit.get(kPodmanDeadline).status == ExitStatus{Exited{0}});
  node.finish_logs();
  CHECK(contains(out.all(), "a terminal"));
}

TEST_CASE("a container is found again by a runtime that did not start it") {
  const LeakCheck leaks;
  PodmanNode node;
  Collector out{node.path("out")};
  const auto task = node.task(kUntilTold);
  const auto started = node.start(task, out.path());
  out.until("ready");
  node.restart();
  const auto first = node.attach(started.ref());
  const auto second = node.attach(started.ref());
  REQUIRE(first.attached.has_value());
  CHECK(std::holds_alternative<runtime::StillRunning>(*first.attached));
  REQUIRE(node.signal(started.ref(), SIGTERM).has_value());
  CHECK(first.exit.get(kPodmanDeadline).status == ExitStatus{Exited{7}});
  CHECK(second.exit.get(kPodmanDeadline).status == ExitStatus{Exited{7}});
  CHECK(started.exit.get(kPodmanDeadline).status == ExitStatus{Exited{7}});
}

TEST_CASE("a container that ended meanwhile tells its real exit") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto started = node.start(node.task("exit 5"));
  started.exit.get(kPodmanDeadline);
  node.restart();
  auto stripped = started.ref();
  stripped.state.clear();  // as from a handle that knows the container's id alone
  for (const ContainerRef& container : {started.ref(), stripped}) {
    const auto found = node.attach(container);
    REQUIRE(found.attached.has_value());
    if (std::holds_alternative<runtime::StillRunning>(*found.attached)) {
      CHECK(found.exit.get(kPodmanDeadline).status == ExitStatus{Exited{5}});
    } else {
      CHECK(std::get<TaskExit>(*found.attached).status == ExitStatus{Exited{5}});
    }
  }
}

TEST_CASE("a container that is no more is said to be gone, an id that is none is refused") {
  const LeakCheck leaks;
  PodmanNode node;
  const ContainerRef gone{"nomad-gone-0", std::string(64, 'f'), {}};
  CHECK(node.attach(gone).attached.error().code == ErrorCode::kContainerGone);
  CHECK(node.remove(gone).has_value());
  for (const std::string& id : {std::string{}, std::string{"--all"}, std::string{"-f"}}) {
    const ContainerRef hostile{"..", id, {}};
    CHECK(node.attach(hostile).attached.error().code == ErrorCode::kInvalidConfig);
    CHECK_FALSE(node.remove(hostile));
    CHECK(node.stop(hostile).error().code == ErrorCode::kInvalidConfig);
  }
}

TEST_CASE(
    "a container that does not listen is stopped, once more and removed after its end, but a "
    "signal "
    "reaches nobody") {
  const LeakCheck leaks;
  PodmanNode node;
  Collector out{node.path("out")};
  const auto task = node.task("trap '' TERM; echo ready; while :; do sleep 0.05; done");
  const auto started = node.start(task, out.path());
  out.until("ready");
  REQUIRE(node.signal(started.ref(), SIGTERM).has_value());
  CHECK_FALSE(started.exit.is_set());
  REQUIRE(node.stop(started.ref()).has_value());
  CHECK(started.exit.get(kPodmanDeadline).status == ExitStatus{Exited{137}});
  auto stripped = started.ref();
  stripped.state.clear();  // without the process id podman is asked
  const auto reaches_nobody = [&](const ContainerRef& container) {
    const auto sent = node.signal(container, SIGTERM);
    INFO((sent ? "sent" : sent.error().message()));
    CHECK((!sent && runtime::ended_already(sent.error())));
  };
  reaches_nobody(started.ref());
  reaches_nobody(stripped);
  CHECK(node.stop(started.ref()).has_value());
  CHECK(node.remove(started.ref()).has_value());
  CHECK(node.remove(started.ref()).has_value());
  reaches_nobody(started.ref());
  reaches_nobody(stripped);
}

TEST_CASE("a running container is removed too; kept, it loses our files only") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task(kUntilTold);
  const auto started = node.start(task);
  REQUIRE(node.remove(started.ref(), true).has_value());
  CHECK(node.exists(task.name()));
  CHECK_FALSE(node.has_files(task));
  REQUIRE(node.remove(started.ref()).has_value());
  CHECK_FALSE(node.exists(task.name()));
  CHECK(started.exit.get(kPodmanDeadline).status != ExitStatus{Exited{0}});
}

TEST_CASE("usage is read while the container runs, and not after") {
  const LeakCheck leaks;
  PodmanNode node;
  Collector out{node.path("out")};
  const auto started = node.start(
      node.task("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; sleep 60"),
      out.path());
  out.until("ready");
  const auto sample = [&](std::vector<ContainerRef> containers) {
    const Awaited<std::vector<runtime::UsageReading>> done;
    node.runtime().sample(std::move(containers),
                          [done](std::vector<runtime::UsageReading> got) { done.set(got); });
    return done.get();
  };
  const ContainerRef gone{"gone", std::string(64, 'f'), {}};
  const auto readings = sample({gone, started.ref()});
  REQUIRE(readings.size() == 2);
  CHECK(readings[0].sample.error().code == ErrorCode::kContainerGone);
  REQUIRE(readings[1].sample.has_value());
  CHECK(readings[1].sample->cpu_total.value_or(std::chrono::nanoseconds{0}).count() > 0);
  CHECK(readings[1].sample->memory_usage.value_or(0) > 0);
  REQUIRE(node.remove(started.ref()).has_value());
  CHECK_FALSE(sample({started.ref()})[0].sample.has_value());
}

TEST_CASE("a container whose task was given up is removed where it is found, others are not") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task("sleep 60");
  const auto started = node.start(task);
  const auto refused = node.remove_found(task);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kWrongState);
  CHECK(node.exists(task.name()));
  node.runtime().disown(task.name());
  CHECK(node.remove_found(task).has_value());
  CHECK_FALSE(node.exists(task.name()));
  CHECK(started.exit.get(kPodmanDeadline).status != ExitStatus{Exited{0}});
}

// Notes each question for a container's state, and has no answer while there is a file "broken".
std::string breakable_podman(const TemporaryDirectory& directory) {
  const std::string path = directory / "podman";
  std::ofstream{path}
      << "#!/bin/sh\ncase \" $* \" in *' inspect '*) ;; *) exec podman \"$@\";; esac\n"
      << "echo >> " << directory / "asked"
      << "\n[ -e " << directory / "broken"
      << " ] || exec podman \"$@\"\necho no such library >&2\nexit 127\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST_CASE("an exit that only podman knows is not lost while podman cannot be asked") {
  const LeakCheck leaks;
  const TemporaryDirectory directory;
  PodmanNode node{breakable_podman(directory)};
  Collector out{node.path("out")};
  const auto started = node.start(node.task(kUntilTold), out.path());
  out.until("ready");
  ContainerRef elsewhere = started.ref();
  elsewhere.state["exit_dir"] = directory / ".";  // where conmon writes no code
  node.restart();
  const auto found = node.attach(elsewhere);
  REQUIRE(found.attached.has_value());
  std::ofstream{directory / "asked"}.flush();
  std::ofstream{directory / "broken"}.flush();
  REQUIRE(node.signal(elsewhere, SIGTERM).has_value());
  CHECK(eventually([&] { return std::filesystem::file_size(directory / "asked") >= 5; },
                   kPodmanDeadline));
  CHECK_FALSE(found.exit.is_set());
  std::filesystem::remove(directory / "broken");
  CHECK(found.exit.get(kPodmanDeadline).status == ExitStatus{Exited{7}});
}

TEST_CASE("a container's process is killed only as long as it is that") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task("sleep 60");
  const auto started = node.start(task);
  const auto kill = [&](runtime::ContainerProcess which) {
    return node.call<void>(
        [&](auto done) { node.runtime().kill_process(started.ref(), which, done); });
  };
  CHECK(kill(runtime::ContainerProcess::kCli).error().code == ErrorCode::kUnsupported);
  REQUIRE(kill(runtime::ContainerProcess::kWorkload).has_value());
  CHECK(started.exit.get(kPodmanDeadline).status == ExitStatus{Exited{137}});
  CHECK(kill(runtime::ContainerProcess::kWorkload).error().code == ErrorCode::kWrongState);
  CHECK(eventually([&] {
    const auto conmon = kill(runtime::ContainerProcess::kWatcher);
    return !conmon.has_value() && conmon.error().code == ErrorCode::kWrongState;
  }));
}

}  // namespace
}  // namespace ndc::test
