// The adapter over the stand-in: output that waits for its collector when monitor or task have
// ended.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "cli/apple_node.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/unique_fd.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

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

constexpr std::size_t kFifo = 64 * 1024;  // what a FIFO holds

void make_fifo(const Node& node) {
  node.spec->stdout_path = node.directory / "out";
  REQUIRE(::mkfifo(node.spec->stdout_path.c_str(), 0600) == 0);
}

std::string lines(int first, int last) {
  std::string out;
  for (int line = first; line <= last; ++line) out += std::to_string(line) + "\n";
  return out;
}

class Collector {
 public:
  explicit Collector(const Node& node)
      : fd_{::open(node.spec->stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)} {
    REQUIRE(fd_);
  }
  // What has arrived, once it is `size` bytes long or the deadline has passed.
  std::string read(std::size_t size) {
    eventually([&] { return !take() && text_.size() >= size; }, kLong);
    return text_;
  }
  // Of what was written by now nothing was left.
  bool has_all() { return !take(); }

 private:
  bool take() {
    char buffer[kFifo];
    const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got > 0) text_.append(buffer, static_cast<std::size_t>(got));
    return got > 0;
  }

  UniqueFd fd_;
  std::string text_;
};

// As Nomad does after a task's end: under another id.
void next_attempt(const Node& node, const std::string& id) {
  node.spec->id = node.spec->alloc_id + "/main/" + id;
}

// An attempt whose collector is away, from its start to its removal.
void run_uncollected(const Node& node, const std::string& script) {
  const Awaited<TaskExit> exited;
  const auto started = node.start(script + "; exit 3", exited);
  REQUIRE(started);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  REQUIRE(node.remove(started->container));
  CHECK(living_monitor(node.files()) == 0);
  CHECK(!read_exit_record(node.files()));
}

// A task whose output nobody collects: what its FIFO does not hold waits in the spool.
class Uncollected {
 public:
  explicit Uncollected(Node& node) : node_{node} {
    make_fifo(node);
    written_ = lines(1, 100'000);
    const auto started = node.start("seq 1 100000; sleep 30", exited_);
    REQUIRE(started);
    container_ = started->container;
    const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
    REQUIRE(route);
    route_ = *route;
    route_->follow(container_, {});
    REQUIRE(eventually([&] {
      const auto waiting = Spool::pending_in((node.files() + "/spool.out").c_str());
      return waiting + bytes_in_fifo(node.spec->stdout_path) == written_.size();
    }));
  }
  const ContainerRef& container() const { return container_; }

  // Whether a collector that comes now gets it all.
  bool arrives() const { return Collector{node_}.read(written_.size()) == written_; }

 private:
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
  node.runtime = *make_apple(node.config, node.loop, fragile_monitor(node), 15s, node.login_dir);
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
  node.runtime = *make_apple(node.config, node.loop, fragile_monitor(node), 15s, node.login_dir);
  make_fifo(node);
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
               contains(told, "(no room)") && contains(told, "kept for the task's next attempt");
      },
      kLong));
  CHECK(std::filesystem::file_size(node.directory / "tries") == 4);  // bounded
  CHECK(has_spooled(node.files()));
  CHECK(node.remove(started->container));
  CHECK(has_spooled(node.files()));
}

TEST_CASE("a spool that was damaged is not delivered, and the task's user is told what is lost") {
  std::mutex mutex;
  std::string told;
  Node node;
  make_fifo(node);
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
  make_fifo(node);
  const std::string want = lines(1, 100'000);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  REQUIRE(eventually([&] {
    const auto waiting = Spool::pending_in((node.files() + "/spool.out").c_str());
    return waiting + bytes_in_fifo(node.spec->stdout_path) == want.size();
  }));
  const Awaited<bool> removed;
  node.runtime->remove(started->container, false, [removed](const Expected<void>& result) {
    removed.set(result.has_value());
  });
  exited.get(kLong);  // told without waiting for the collector
  std::this_thread::sleep_for(200ms);
  CHECK(!removed.is_set());
  Collector collector{node};
  CHECK((collector.read(want.size()) == want));  // too long to be shown
  CHECK(removed.get(kLong));
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("a collector that takes nothing does not keep a task that was removed by force") {
  Node node;
  make_fifo(node);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; sleep 30", exited);
  REQUIRE(started);
  const std::string want = lines(1, 100'000);
  REQUIRE(eventually([&] { return spooled(node.files()) + kFifo >= want.size(); }));
  CHECK(node.remove(started->container));
  CHECK(exited.is_set());
  CHECK(spooled(node.files()) == want.size());
  CHECK(living_monitor(node.files()) == 0);
}

TEST_CASE("what no collector has taken of a task comes before the output of its next attempt") {
  const bool same_id = GENERATE(false, true);  // as where the client does not know of the first one
  Node node;
  make_fifo(node);
  run_uncollected(node, "seq 1 100000");
  CHECK(spooled(node.files()) == lines(1, 100'000).size());
  if (same_id) {
    node.restart();
  } else {
    next_attempt(node, "9abcdef0");
  }
  Collector collector{node};
  const Awaited<TaskExit> exited;
  const auto next = node.start("seq 100001 100010; exit 4", exited);
  INFO((next ? std::string{} : next.error().message()));
  REQUIRE(next);
  CHECK(exited.get(kLong).status == ExitStatus{Exited{4}});
  const std::string want = lines(1, 100'010);
  CHECK((collector.read(want.size()) == want));
  CHECK(node.remove(next->container));
  CHECK(collector.has_all());
  CHECK(!std::filesystem::exists(node.files()));
}

TEST_CASE("attempts that no collector takes anything of wait in their order") {
  Node node;
  make_fifo(node);
  run_uncollected(node, "seq 1 100000");
  next_attempt(node, "9abcdef0");
  run_uncollected(node, "seq 100001 150000");
  CHECK(spooled(node.files()) == lines(1, 150'000).size());
  next_attempt(node, "9abcdef1");
  Collector collector{node};
  const Awaited<TaskExit> exited;
  const auto last = node.start("seq 150001 150010", exited);
  REQUIRE(last);
  const std::string want = lines(1, 150'010);
  CHECK((collector.read(want.size()) == want));
  CHECK(node.remove(last->container));
  CHECK(collector.has_all());
}

TEST_CASE("a start that fails leaves what waits for the collector to the next one") {
  Node node;
  make_fifo(node);
  run_uncollected(node, "seq 1 100000");
  next_attempt(node, "9abcdef0");
  StartRequest request =
      node.request("", [](TaskConfig& config) { config.command = "/no/such/program"; });
  const auto logs = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
  REQUIRE(logs);
  request.logs = *logs;  // holds what the monitor has put into the FIFO
  const Awaited<TaskExit> never;
  REQUIRE(!node.begin_start(request, never).get(kLong));
  CHECK(has_spooled(node.files()));
  CHECK(living_monitor(node.files()) == 0);
  next_attempt(node, "9abcdef1");
  Collector collector{node};
  const Awaited<TaskExit> exited;
  const auto last = node.start("seq 100001 100010", exited);
  REQUIRE(last);
  const std::string want = lines(1, 100'010);
  CHECK((collector.read(want.size()) == want));
  CHECK(node.remove(last->container));
  CHECK(collector.has_all());
}

TEST_CASE("an attempt delivers what one has left that nobody removed before it") {
  Node node;
  make_fifo(node);
  const Awaited<TaskExit> exits[2];
  REQUIRE(node.start("seq 1 100000; exit 3", exits[0]));
  CHECK(exits[0].get(kLong).status == ExitStatus{Exited{3}});
  node.restart();
  next_attempt(node, "9abcdef0");
  StartRequest request = node.request("seq 100001 100010; exit 4");
  const auto logs = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
  REQUIRE(logs);
  request.logs = *logs;
  const auto next = node.begin_start(request, exits[1]).get(kLong);
  INFO((next ? std::string{} : next.error().message()));
  REQUIRE(next);
  Collector collector{node};  // only now: the first one's monitor had to be told to quit
  const std::string want = lines(1, 100'010);
  CHECK((collector.read(want.size()) == want));
  CHECK(exits[1].get(kLong).status == ExitStatus{Exited{4}});
  CHECK(node.remove(next->container));
  CHECK(collector.has_all());
}

TEST_CASE("output that waits is no other allocation's, though its container has the same name") {
  Node node;
  make_fifo(node);
  run_uncollected(node, "echo secret");
  CHECK(spooled(node.files()) == 7);
  node.spec->alloc_id = "0a1b2c3d-0000-0000-0000-000000000001";
  next_attempt(node, "12345678");
  Collector collector{node};
  const Awaited<TaskExit> exited;
  const auto other = node.start("echo own", exited);
  REQUIRE(other);
  CHECK(collector.read(4) == "own\n");
  CHECK(node.remove(other->container));
  CHECK(collector.has_all());
}

TEST_CASE(
    "the end of a task whose collector takes nothing is told, with what becomes of the rest") {
  const bool swept = GENERATE(true, false);  // by the reaper
  Node node;
  node.config.gc.dangling_containers.enabled = swept;
  node.restart();
  make_fifo(node);
  const Awaited<TaskExit> exited;
  const auto started = node.start("seq 1 100000; exit 3", exited);
  REQUIRE(started);
  const auto route = node.runtime->open_logs({node.spec->stdout_path, "/dev/null"}, false);
  REQUIRE(route);
  const Awaited<std::string> told;
  (*route)->follow(started->container, [told](const Error& error) { told.set(error.message()); });
  CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
  const Awaited<bool> drained;
  (*route)->finish([drained] { drained.set(true); });
  drained.get(kLong);
  CHECK(contains(told.get(kLong), " bytes wait for Nomad's log collector"));
  CHECK(contains(told.get(), swept ? "kept for the task's next attempt" : "go when the task is"));
  CHECK(node.remove(started->container));
  CHECK(has_spooled(node.files()) == swept);
  CHECK(std::filesystem::exists(node.files()) == swept);
}

TEST_CASE("output that waits for a next attempt is left over since the removal, and goes with it") {
  Node node;
  make_fifo(node);
  const Awaited<TaskExit> exited;
  const auto started = node.start("echo text; exit 3", exited);
  REQUIRE(started);
  exited.get(kLong);
  // The task began long ago.
  std::filesystem::last_write_time(node.files() + "/owner",
                                   std::filesystem::file_time_type::clock::now() - 24h);
  CHECK(node.remove(started->container));
  REQUIRE(spooled(node.files()) == 5);
  const auto found = found_on(node);
  REQUIRE(found.size() == 1);
  CHECK(found.front().container.name == node.id);
  CHECK(found.front().container.id.empty());
  CHECK(found.front().labels.at("nomad.task_id") == node.spec->id);
  REQUIRE(found.front().created_at);
  CHECK(std::chrono::system_clock::now() - *found.front().created_at < 1h);
  CHECK(node.remove(found.front().container));
  CHECK(!std::filesystem::exists(node.files()));
  CHECK(found_on(node).empty());
}

TEST_CASE("output that waited and was damaged is not delivered, and the next attempt says so") {
  Node node;
  make_fifo(node);
  run_uncollected(node, "echo text");
  std::fstream{node.files() + "/spool.out", std::ios::in | std::ios::out | std::ios::binary}
      << "bad";
  REQUIRE(damaged_spools(node.files()) == "spool.out");
  next_attempt(node, "9abcdef0");
  Collector collector{node};
  const Awaited<TaskExit> exited;
  const auto next = node.start("echo own", exited);
  REQUIRE(next);
  std::string notes;
  for (const std::string& note : next->notes) notes += note + "\n";
  CHECK(contains(notes, "spool.out: damaged"));
  CHECK(contains(notes, "is lost"));
  CHECK(collector.read(4) == "own\n");
  CHECK(node.remove(next->container));
  CHECK(collector.has_all());
}
