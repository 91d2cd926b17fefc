// The adapter over the stand-in: what it makes of an engine that hangs, lies or dies.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/apple_node.hpp"
#include "runtime/apple_files.hpp"
#include "runtime/ended_already.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/unique_fd.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

bool unknown(const TaskExit& exit) { return std::holds_alternative<UnknownExit>(exit.status); }

// The monitor's program; while there is a file "broken" it cannot begin, and notes each try.
std::string fragile_monitor(const Node& node) {
  std::string path = node.directory / "monitor";
  std::ofstream{path} << "#!/bin/sh\n"
                      << "if [ -e " << node.directory / "broken"
                      << " ]; then\n"
                      << "  echo >> " << node.directory / "tries"
                      << "\n"
                      << "  echo no room >&2\n"
                      << "  exit 1\n"
                      << "fi\n"
                      << "exec " << places::test_monitor << " \"$@\"\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

// What the daemon says while it cleans up after an exit (contract 6.3).
constexpr const char* kBusy = "exit 1 invalidState: \"container is shutting down\"";

void without_a_program(TaskConfig& config) { config.command = "/no/such/program"; }

std::vector<FoundContainer> found_on(const Node& node) {
  const Awaited<Expected<std::vector<FoundContainer>>> listed;
  node.runtime->list_containers(
      [listed](Expected<std::vector<FoundContainer>> found) { listed.set(std::move(found)); });
  const auto found = listed.get(kLong);
  REQUIRE(found);
  return *found;
}

}  // namespace

TEST_CASE("every call to a daemon that hangs is bounded, and the breaker opens and closes") {
  Node node;
  node.config.command_timeout = 200ms;
  node.restart();
  // A busy machine may take longer than the time-out for one call.
  const auto recovers = [&] {
    return eventually([&] { return node.probe().health == Health::kHealthy; });
  };
  CHECK(recovers());
  node.fault("list", "hang");
  const auto list = [&] {
    const Awaited<Expected<std::vector<FoundContainer>>> result;
    node.runtime->list_containers([result](auto found) { result.set(std::move(found)); });
    return result.get(kLong);
  };
  const auto sample = [&] {
    const Awaited<Expected<UsageSample>> result;
    node.runtime->sample({{node.id, node.id, {}}}, [result](std::vector<UsageReading> readings) {
      result.set(std::move(readings.at(0).sample));
    });
    return result.get(kLong).error().message();
  };
  std::string last;
  for (int i = 0; i < 7; ++i) {
    const auto answer = list();
    REQUIRE(!answer);
    last = answer.error().message();
  }
  CHECK(contains(last, "not tried"));
  CHECK(contains(sample(), "not tried"));
  const Fingerprint bad = node.probe();
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "container system start"));
  node.fault("list", "");
  CHECK(recovers());
  CHECK(eventually([&] { return contains(sample(), "reports none"); }));
}

// It takes two seconds as a rule, so that its limit is never short.
TEST_CASE("a question for usage that hangs is ended") {
  Node node;
  node.config.command_timeout = 200ms;
  node.restart();
  node.fault("stats", "hang");
  const Awaited<Error> failed;
  node.runtime->sample({{node.id, node.id, {}}}, [failed](std::vector<UsageReading> readings) {
    if (const auto& usage = readings.at(0).sample; !usage) failed.set(usage.error());
  });
  CHECK(failed.get(kLong).code == ErrorCode::kTimeout);
}

// The engine fetches its kernel and its init image when they are missed first.
TEST_CASE("a create may take as long as a pull") {
  Node node;
  node.fault("create", "slow 3000");
  REQUIRE(node.config.command_timeout < 3s);
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 3", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  CHECK(node.remove(started->container));
}

TEST_CASE("creates that hang are ended, and nothing else waits for them or suffers") {
  constexpr std::size_t kMoreThanSlots = 10;
  Node node;
  node.config.image_pull_timeout = 4s;
  node.restart();
  node.fault("create", "hang");
  std::vector<Awaited<Expected<StartedContainer>>> starts(kMoreThanSlots);
  for (std::size_t i = 0; i < kMoreThanSlots; ++i) {
    auto task = std::make_shared<TaskConfig>();
    task->image = "demo:1";
    StartRequest request;
    request.spec = node.spec;
    request.config = task;
    request.image = {"demo:1", "sha256:0", std::nullopt};
    request.container_name = node.id + "-" + std::to_string(i);
    node.runtime->start(
        request, [](const TaskExit&) {},
        [started = starts[i]](Expected<StartedContainer> result) {
          started.set(std::move(result));
        });
  }
  const auto looks = [&] {
    const Awaited<Expected<UsageSample>> result;
    node.runtime->sample({{node.id, node.id, {}}}, [result](std::vector<UsageReading> readings) {
      result.set(std::move(readings.at(0).sample));
    });
    return result.get(kLong).error().message();
  };
  REQUIRE(eventually([&] { return node.calls("create") > 0; }, kLong));
  CHECK(contains(looks(), "reports none"));
  CHECK(std::none_of(starts.begin(), starts.end(), [](const auto& each) { return each.is_set(); }));
  for (const auto& each : starts) {
    const auto started = each.get(kLong);
    REQUIRE(!started);
    // Once two in a row have hung, what waits behind another one is not tried.
    CHECK((started.error().code == ErrorCode::kTimeout ||
           contains(started.error().message(), "not tried")));
    CHECK(started.error().recoverable());
    CHECK(contains(started.error().message(), "4s"));
  }
  CHECK(node.calls("create") < static_cast<int>(kMoreThanSlots));
  CHECK(contains(looks(), "reports none"));
  const Fingerprint bad = node.probe();
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "starts no containers (container create: no answer within 4s"));
  node.fault("create", "");
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 0", exited);
  REQUIRE(started);
  CHECK(node.probe().health == Health::kHealthy);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{0}});
  CHECK(node.remove(started->container));
}

TEST_CASE("a second start of a task waits for the first one and has its container") {
  Node node{"1.2.2", "NDC_STANDIN_START_MS=500\n"};
  std::filesystem::create_directories(node.directory / "alloc/main/local/run");
  const auto sockets = [](TaskConfig& c) {
    c.publish_sockets = {{"local/run/app.sock", "/run/app.sock", {}}};
  };
  const StartRequest request = node.request("sleep 1; exit 3", sockets);
  const Awaited<TaskExit> exits[3];
  const auto first = node.begin_start(request, exits[0]);
  const auto second = node.begin_start(request, exits[1]);  // while it is under way
  const auto started = first.get(kLong);
  INFO((started ? std::string{} : started.error().message()));
  REQUIRE(started);
  REQUIRE(second.get(kLong));
  const auto third = node.begin_start(request, exits[2]).get(kLong);  // when it is done
  REQUIRE(third);
  CHECK(!exits[0].is_set());
  CHECK(node.calls("create") == 1);
  CHECK(third->container == started->container);
  for (const auto& exited : exits) {
    CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
    CHECK(exited.times() == 1);
  }
  const auto late = node.begin_start(request, exits[0]).get(kLong);  // when it has ended
  REQUIRE(late);
  CHECK(node.calls("create") == 1);
  CHECK(node.remove(started->container));
}

TEST_CASE("after a start that failed the one that waited for it is tried itself") {
  Node node;
  node.fault("create", "exit 1 not today times 1");
  const Awaited<TaskExit> exits[2];
  const StartRequest request = node.request("exit 3");
  const auto first = node.begin_start(request, exits[0]);
  const auto second = node.begin_start(request, exits[1]);
  REQUIRE(!first.get(kLong));
  const auto started = second.get(kLong);
  REQUIRE(started);
  CHECK(exits[1].get(kLong).status == ExitStatus{Exited{3}});
  CHECK(!exits[0].is_set());
  CHECK(node.remove(started->container));
}

TEST_CASE("a start of a container that was found again is the container's") {
  Node node;
  const Awaited<TaskExit> exits[3];
  const StartRequest request = node.request("sleep 60");
  const auto started = node.begin_start(request, exits[0]).get(kLong);
  REQUIRE(started);
  node.restart();
  REQUIRE(node.attach(started->container, exits[1]));
  const auto again = node.begin_start(request, exits[2]).get(kLong);
  REQUIRE(again);
  CHECK(again->container == started->container);
  CHECK(!exits[1].is_set());
  CHECK(node.remove(started->container));
  CHECK(exits[2].get(kLong).status == exits[1].get(kLong).status);
}

TEST_CASE("a start that is asked for again finds the task that ended while no plugin was there") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    node.spec->stdout_path = node.directory / "out";
    REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
    const StartRequest request = node.request("echo text; exit 42");
    const Awaited<TaskExit> exits[4];
    REQUIRE(node.begin_start(request, exits[0]).get(kLong));
    CHECK(exits[0].get(kLong).status == ExitStatus{Exited{42}});
    const UniqueFd collector{
        ::open(node.spec->stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    char text[8] = {};
    REQUIRE(eventually([&] { return ::read(collector.get(), text, sizeof text) == 5; }));
    REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
    node.restart();
    // Nobody may take the record away while it is not known what became of the container.
    node.fault("list", "exit 1 no answer");
    const auto refused = node.begin_start(request, exits[1]).get(kLong);
    REQUIRE(!refused);
    CHECK(refused.error().recoverable());
    node.fault("list", "");
    node.restart();
    const auto again = node.begin_start(request, exits[2]).get(kLong);
    REQUIRE(again);
    CHECK(exits[2].get(kLong).status == ExitStatus{Exited{42}});
    CHECK(node.calls("create") == 1);
    CHECK(node.calls("start") == 1);
    // Another attempt is another task.
    node.restart();
    node.spec->id = node.spec->alloc_id + "/main/9abcdef0";
    const auto next = node.begin_start(node.request("exit 7"), exits[3]).get(kLong);
    REQUIRE(next);
    CHECK(exits[3].get(kLong).status == ExitStatus{Exited{7}});
    CHECK(node.remove(next->container));
  }
}

// Every key of the engine's answers may be missing.
TEST_CASE("a task that runs has been started, though the engine does not say when") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    node.fault("no-start-dates", "x");
    const StartRequest request = node.request("sleep 60");
    const Awaited<TaskExit> exits[2];
    const auto before = std::chrono::system_clock::now() - 2s;  // dates are whole seconds
    const auto started = node.begin_start(request, exits[0]).get(kLong);
    INFO((started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(started->started_at >= before);
    CHECK(started->started_at <= std::chrono::system_clock::now());
    // The plugin may have been killed before it answered that: the task is not started over.
    node.restart();
    const auto again = node.begin_start(request, exits[1]).get(kLong);
    INFO((again ? std::string{} : again.error().message()));
    REQUIRE(again);
    CHECK(node.calls("create") == 1);
    CHECK(node.calls("delete") == 0);
    CHECK(again->started_at >= before);
    CHECK(!exits[1].is_set());
    CHECK(node.remove(again->container));
  }
}

TEST_CASE("a record without its container does not stand in the way of a start") {
  Node node;
  const StartRequest request = node.request("exit 42");
  const Awaited<TaskExit> exits[2];
  REQUIRE(node.begin_start(request, exits[0]).get(kLong));
  CHECK(exits[0].get(kLong).status == ExitStatus{Exited{42}});
  REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
  node.ask("delete --force " + node.id);
  node.restart();
  const auto started = node.begin_start(request, exits[1]).get(kLong);
  REQUIRE(started);
  CHECK(exits[1].get(kLong).status == ExitStatus{Exited{42}});
  CHECK(node.calls("create") == 2);
  CHECK(node.remove(started->container));
}

TEST_CASE("a signal that reaches nobody is an error, a stop of what has ended is not") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 0", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{0}});
  REQUIRE(eventually([&] { return !contains(node.ask("list --quiet"), node.id); }, kLong));
  const auto signal = [&] {
    return node.call([&](Done<void> done) { node.runtime->signal(started->container, 1, done); });
  };
  const auto stop = [&] {
    return node.call([&](Done<void> done) { node.runtime->stop(started->container, done); });
  };
  auto sent = signal();
  REQUIRE(!sent);
  CHECK(sent.error().code == ErrorCode::kWrongState);
  CHECK(ended_already(sent.error()));
  CHECK(stop());
  CHECK(node.remove(started->container));
  sent = signal();
  REQUIRE(!sent);
  CHECK(sent.error().code == ErrorCode::kContainerGone);
  CHECK(stop());
}

TEST_CASE("a monitor that was killed does not end the task") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.kill_monitor();
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  CHECK(std::holds_alternative<StillRunning>(*attached));
  CHECK(node.call([&](Done<void> done) { node.runtime->stop(started->container, done); }));
  CHECK(unknown(later.get(kLong)));
  CHECK(node.remove(started->container));
}

namespace {

// A task whose output nobody collects: what its FIFO does not hold waits in the spool.
class Uncollected {
 public:
  explicit Uncollected(Node& node) : node_{node} {
    node.spec->stdout_path = node.directory / "out";
    REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
    for (int line = 1; line <= 100'000; ++line) written_ += std::to_string(line) + "\n";
    const auto started = node.start("seq 1 100000; sleep 30", exited_);
    REQUIRE(started);
    container_ = started->container;
    const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
    REQUIRE(route);
    route_ = *route;
    route_->follow(container_, {});
    REQUIRE(eventually([&] {
      return Spool::pending_in((node.files() + "/spool.out").c_str()) + kFifo >= written_.size();
    }));
  }
  const ContainerRef& container() const { return container_; }

  // Whether a collector that comes now gets it all.
  bool arrives() const {
    const UniqueFd collector{
        ::open(node_.spec->stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    std::string text;
    const bool whole = eventually([&] {
      char buffer[kFifo];
      const ssize_t got = ::read(collector.get(), buffer, sizeof buffer);
      if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
      return text.size() >= written_.size();
    });
    return whole && text == written_;
  }

 private:
  static constexpr std::size_t kFifo = 64 * 1024;  // what the FIFO may hold of it

  Node& node_;
  std::string written_;
  Awaited<TaskExit> exited_;
  ContainerRef container_;
  std::shared_ptr<LogRoute> route_;
};

}  // namespace

TEST_CASE(
    "what a killed monitor had not delivered reaches the log without a restart of the plugin") {
  Node node;
  const Uncollected task{node};
  node.kill_monitor();
  CHECK(task.arrives());
  CHECK(node.remove(task.container()));
}

TEST_CASE("who is to deliver a killed monitor's output, and cannot be started, is started again") {
  Node node;
  node.runtime = *make_apple(node.config, node.loop, fragile_monitor(node));
  const Uncollected task{node};
  const std::string broken = node.directory / "broken";
  { const std::ofstream made{broken}; }
  node.kill_monitor();
  REQUIRE(eventually([&] { return std::filesystem::exists(node.directory / "tries"); }));
  std::filesystem::remove(broken);
  CHECK(task.arrives());
  CHECK(node.remove(task.container()));
}

TEST_CASE("output that nobody can be started for is told to the task's user") {
  std::mutex mutex;
  std::string told;
  Node node;
  node.runtime = *make_apple(node.config, node.loop, fragile_monitor(node));
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
  REQUIRE(route);
  (*route)->follow(started->container, [&](const Error& error) {
    const std::lock_guard lock{mutex};
    told += error.message() + "\n";
  });
  REQUIRE(eventually([&] { return has_spooled(node.files()); }));
  { const std::ofstream made{node.directory / "broken"}; }
  node.kill_monitor();
  CHECK(eventually(
      [&] {
        const std::lock_guard lock{mutex};
        return contains(told, " bytes wait for Nomad's log collector") &&
               contains(told, "(no room)");
      },
      kLong));
  CHECK(std::filesystem::file_size(node.directory / "tries") == 4);  // bounded
  CHECK(has_spooled(node.files()));
  CHECK(node.remove(started->container));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a spool that was damaged is not delivered, and the task's user is told what is lost") {
  std::mutex mutex;
  std::string told;
  Node node;
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  REQUIRE(eventually([&] { return has_spooled(node.files()); }));
  node.kill_monitor();
  REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
  const std::string spool = node.files() + "/spool.out";
  std::fstream{spool, std::ios::in | std::ios::out | std::ios::binary} << "bad";
  CHECK(damaged_spools(node.files()) == "spool.out");
  const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
  REQUIRE(route);
  (*route)->follow(started->container, [&](const Error& error) {
    const std::lock_guard lock{mutex};
    told += error.message() + "\n";
  });
  CHECK(eventually([&] {
    const std::lock_guard lock{mutex};
    return contains(told, "spool.out: damaged") && contains(told, "is lost");
  }));
  CHECK(spooled(node.files()) == 0);
  CHECK(node.remove(started->container));
}

TEST_CASE("a task that is removed by force keeps its output until the collector has it") {
  Node node;
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  std::string want;
  for (int line = 1; line <= 100'000; ++line) want += std::to_string(line) + "\n";
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  constexpr std::size_t kFifo = 64 * 1024;  // what the FIFO may hold of it
  REQUIRE(eventually([&] {
    return Spool::pending_in((node.files() + "/spool.out").c_str()) + kFifo >= want.size();
  }));
  const Awaited<bool> removed;
  node.runtime->remove(started->container, false, [removed](const Expected<void>& result) {
    removed.set(result.has_value());
  });
  exited.get(kLong);  // told without waiting for the collector
  std::this_thread::sleep_for(200ms);
  CHECK(!removed.is_set());
  const UniqueFd collector{
      ::open(node.spec->stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  std::string text;
  CHECK(eventually([&] {
    char buffer[kFifo];
    const ssize_t got = ::read(collector.get(), buffer, sizeof buffer);
    if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    return text.size() >= want.size();
  }));
  CHECK((text == want));  // too long to be shown
  CHECK(removed.get(kLong));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a collector that takes nothing does not keep a task that was removed by force") {
  Node node;
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  REQUIRE(eventually([&] { return has_spooled(node.files()); }));
  CHECK(node.remove(started->container));
  CHECK(exited.is_set());
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("recovery finds the exit that happened meanwhile, also while the engine hangs") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 42", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{42}});
  node.restart();
  node.fault("all", "hang");
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  REQUIRE(std::holds_alternative<TaskExit>(*attached));
  CHECK(std::get<TaskExit>(*attached).status == ExitStatus{Exited{42}});
  node.fault("all", "");
  CHECK(node.remove(started->container));
  CHECK(node.remove(started->container));  // again: nothing to do
}

// UBSan looks with a pipe whether an object can be read: without descriptors all are bad to it.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("recovery without a free descriptor waits for one and finds the exit then") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 42", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{42}});
  node.restart();
  const Awaited<TaskExit> later;
  const auto attaching = [&] {
    const NoDescriptors none;
    auto begun = node.begin_attach(started->container, later);
    std::this_thread::sleep_for(500ms);  // it looks in vain more than once
    CHECK(!begun.is_set());
    return begun;
  }();
  const Expected<Attached> answer = attaching.get(kLong);
  REQUIRE(answer);
  REQUIRE(std::holds_alternative<TaskExit>(*answer));
  CHECK(std::get<TaskExit>(*answer).status == ExitStatus{Exited{42}});
  CHECK(node.remove(started->container));
}
#endif

// As it may be when the monitor wrote it in the moment in which it was looked for in vain.
TEST_CASE("a record that is seen late counts, though the monitor was given up") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.kill_monitor();
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  REQUIRE(std::holds_alternative<StillRunning>(*attached));
  REQUIRE(write_exit_record(node.files().c_str(), {ExitRecord::Kind::kExited, 7, 1, ""}));
  CHECK(node.call([&](Done<void> done) { node.runtime->stop(started->container, done); }));
  CHECK(later.get(kLong).status == ExitStatus{Exited{7}});
  CHECK(node.remove(started->container));
}

// A cleaner of /tmp may take the socket away.
TEST_CASE("a monitor that is not reached for long is not given up, and its record is read") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 8; exit 7", exited);
  REQUIRE(started);
  const AppleFiles files{node.config.state_dir, node.id};
  REQUIRE(::unlink(files.socket().c_str()) == 0);
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(attached);
  CHECK(std::holds_alternative<StillRunning>(*attached));
  CHECK(later.get(kLong).status == ExitStatus{Exited{7}});
  CHECK(node.remove(started->container));
}

TEST_CASE("a container that was removed behind our back is gone, and not an exit code") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  node.kill_monitor();
  (void)run(*node.loop, shell(node.directory / "container" + " delete --force " + node.id));
  node.restart();
  const Awaited<TaskExit> later;
  const auto attached = node.attach(started->container, later);
  REQUIRE(!attached);
  CHECK(attached.error().code == ErrorCode::kContainerGone);
  CHECK(node.remove(started->container));
}

TEST_CASE("a leftover of the same allocation is replaced, a stranger's container is not") {
  Node node;
  const std::string cli = node.directory / "container";
  (void)run(*node.loop, shell(cli + " create --name " + node.id +
                              " --label nomad.alloc_id=" + node.spec->alloc_id + " -- demo:1"));
  const Awaited<TaskExit> exited;
  auto started = node.start("exit 0", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{0}});
  CHECK(node.remove(started->container));
  (void)run(*node.loop, shell(cli + " create --name " + node.id + " -- demo:1"));
  const Awaited<TaskExit> never;
  started = node.start("exit 0", never);
  REQUIRE(!started);
  CHECK(started.error().code == ErrorCode::kAlreadyExists);
  CHECK(contains(started.error().message(), "delete --force"));
}

TEST_CASE("a create that was killed or broke off leaves no container") {
  for (const char* fault : {"die-after", "xpc-after"}) {
    Node node;
    node.fault("create", fault);
    const Awaited<TaskExit> never;
    const auto started = node.start("exit 0", never);
    REQUIRE(!started);
    CHECK(started.error().code == ErrorCode::kRuntimeUnavailable);
    CHECK(node.calls("create") == 1);
    CHECK(!contains(node.ask("list --all --quiet"), node.id));
    CHECK(!std::filesystem::exists(node.files()));
  }
}

TEST_CASE("a start that fails removes its container though the engine refuses that at first") {
  Node node;
  node.fault("delete", std::string{kBusy} + " times 2");
  const Awaited<TaskExit> never;
  const auto failed = node.start("", never, without_a_program);
  REQUIRE(!failed);
  CHECK(failed.error().code == ErrorCode::kStartFailed);
  CHECK(!contains(failed.error().message(), "shutting down"));
  CHECK(node.calls("delete") == 3);
  CHECK(!contains(node.ask("list --all --quiet"), node.id));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a leftover is replaced though the engine refuses its removal at first") {
  Node node;
  node.ask("create --name " + node.id + " --label nomad.alloc_id=" + node.spec->alloc_id +
           " -- demo:1");
  node.fault("delete", std::string{kBusy} + " times 2");
  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 3", exited);
  INFO((started ? std::string{} : started.error().message()));
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  CHECK(node.remove(started->container));
}

TEST_CASE("what a failed start could not remove is found later, and known for what it is") {
  Node node;
  node.fault("delete", kBusy);
  const Awaited<TaskExit> never;
  const auto failed = node.start("", never, without_a_program);
  REQUIRE(!failed);
  CHECK(failed.error().code == ErrorCode::kStartFailed);
  CHECK(contains(failed.error().message(), "shutting down"));
  CHECK(std::filesystem::exists(node.files()));
  node.restart();
  auto found = found_on(node);
  REQUIRE(found.size() == 1);
  CHECK(found.front().start_failed);
  node.fault("delete", "");
  CHECK(node.remove(found.front().container));
  CHECK(found_on(node).empty());
  CHECK(!std::filesystem::exists(node.files()));

  const Awaited<TaskExit> exited;
  const auto started = node.start("exit 3", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  found = found_on(node);
  REQUIRE(found.size() == 1);
  CHECK(!found.front().start_failed);
  CHECK(node.remove(started->container));
}

TEST_CASE("where nobody can tell whether a failed create made a container, its files stay") {
  Node node;
  node.fault("create", "die-after");
  node.fault("list", "exit 1 no answer");
  const Awaited<TaskExit> never;
  REQUIRE(!node.start("exit 0", never));
  CHECK(std::filesystem::exists(node.files()));
  node.fault("list", "");
  node.fault("create", "");
  const auto found = found_on(node);
  REQUIRE(found.size() == 1);
  CHECK(found.front().start_failed);
  CHECK(node.remove(found.front().container));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a create that failed touches no stranger's container and tells its own reason") {
  Node node;
  const std::string cli = node.directory / "container";
  (void)run(*node.loop, shell(cli + " create --name " + node.id + " -- demo:1"));
  node.fault("create", "exit 1 internalError: \"it timed out\"");
  const Awaited<TaskExit> never;
  auto started = node.start("exit 0", never);
  REQUIRE(!started);
  CHECK(started.error().code == ErrorCode::kTimeout);
  CHECK(contains(started.error().message(), "it timed out"));
  CHECK(!contains(started.error().message(), "network"));
  node.fault("list", "exit 1 no answer");
  node.fault("create", "exit 1 not today");
  started = node.start("exit 0", never);
  REQUIRE(!started);
  CHECK(started.error().recoverable());
  CHECK(contains(started.error().message(), "not today"));
  node.fault("list", "");
  CHECK(contains(node.ask("list --all --quiet"), node.id));
}

TEST_CASE("the health of a node names the cure") {
  Node node;
  node.fault("daemon-down", "x");
  Fingerprint bad = node.probe();
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "container system start"));
  node.fault("daemon-down", "");
  node.fault("daemon-version", "1.0.0");
  bad = node.probe();
  CHECK(bad.health == Health::kUnhealthy);
  CHECK(contains(bad.description, "1.0.0"));
  node.fault("daemon-version", "");
  CHECK(node.probe().health == Health::kHealthy);
  node.config.container_path = "/no/such/container";
  node.restart();
  CHECK(node.probe().health == Health::kUndetected);
}

TEST_CASE("statistics of many containers are one call, and missing ones are errors") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 30", exited);
  REQUIRE(started);
  const int before = node.calls("stats");
  const Awaited<std::vector<UsageReading>> result;
  node.runtime->sample({started->container, ContainerRef{"other", "other", {}}},
                       [result](std::vector<UsageReading> got) { result.set(std::move(got)); });
  const auto readings = result.get(kLong);
  REQUIRE(readings.size() == 2);
  CHECK(readings[0].sample);
  CHECK(!readings[1].sample);
  CHECK(node.calls("stats") == before + 1);
  CHECK(node.remove(started->container));
}

TEST_CASE("a slow pull is not taken for one that stands still") {
  Node node;
  node.fault("image-pull", "slow 400");
  PullRequest request;
  request.image.reference = "demo:1";
  request.timeout = 20s;
  request.stall_timeout = 50ms;  // the CLI tells no progress by which to judge
  const Awaited<Expected<Image>> result;
  node.runtime->pull_image(request, [result](Expected<Image> got) { result.set(std::move(got)); });
  CHECK(result.get(kLong));
}
