#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "model/labels.hpp"
#include "runtime/machine.hpp"
#include "runtime/state_leftovers.hpp"
#include "runtime/unique_fd.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

namespace {

struct State {
  ndc::test::TemporaryDirectory directory;
  fs::path path = directory / "state";
  State() { fs::create_directory(path); }
  std::string make(const std::string& name) const {
    fs::create_directory(path / name);
    fs::permissions(path / name, fs::perms::owner_all);
    return path / name;
  }
};

// Of a directory whose files are all there: nothing has changed in it for an hour.
void age(const std::string& directory) {
  fs::last_write_time(directory, fs::file_time_type::clock::now() - std::chrono::hours{1});
}

void write(const std::string& path) { std::ofstream{path} << "text"; }

Names names(const std::vector<FoundContainer>& found) {
  Names out;
  for (const FoundContainer& one : found) out.push_back(one.container.name);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("a task's directory without a container and a claim is left over, and says whose it is") {
  const State state;
  const std::map<std::string, std::string> labels{
      {kLabelNodeId, "n1"}, {kLabelAllocId, "a1"}, {kLabelTaskId, "a1/web/1"}};
  auto more = labels;
  more["nomad.namespace"] = "default";
  for (const char* name : {"gone", "there", "ours"}) {
    REQUIRE(write_owner(state.make(name), more));
  }
  StateLeftovers leftovers{state.path};
  leftovers.claim("ours");
  const auto found = leftovers.look({"there"});
  REQUIRE(names(found) == Names{"gone"});
  CHECK(found[0].container.id.empty());
  CHECK(found[0].labels == labels);
  CHECK_FALSE(found[0].running);
  REQUIRE(found[0].created_at);
  CHECK(std::chrono::system_clock::now() - *found[0].created_at < std::chrono::hours{1});
  leftovers.disclaim("ours");
  CHECK(names(leftovers.look({"there"})) == Names{"gone", "ours"});
  fs::remove_all(state.path);
  CHECK(leftovers.look({}).empty());
}

TEST_CASE("a directory is of a task whichever attempt has made it, and of no other task") {
  const State state;
  const std::string directory = state.make("nomad-web-0a1b2c3d");
  CHECK_FALSE(is_of_task(directory, "a1/web/1"));
  CHECK_FALSE(is_of_task(directory, ""));
  REQUIRE(write_owner(directory, {{kLabelTaskId, "a1/web/1"}}));
  CHECK(is_of_task(directory, "a1/web/1"));
  CHECK(is_of_task(directory, "a1/web/2"));
  for (const char* other : {"a2/web/1", "a1/db/1", "a1/web", "a1/web/", "web/1", "1", ""}) {
    CAPTURE(other);
    CHECK(is_of_task(directory, other) == (std::string{other} == "a1/web/"));
  }
  REQUIRE(write_owner(directory, {{kLabelTaskId, "web"}}));  // of a program that embeds the driver
  CHECK(is_of_task(directory, "web"));
  CHECK_FALSE(is_of_task(directory, "db"));
}

TEST_CASE("what is left of a task is as old as was said last") {
  const State state;
  const std::string directory = state.make("nomad-web-0a1b2c3d");
  renew_owner(directory);  // nothing to renew
  CHECK_FALSE(fs::exists(directory + "/owner"));
  REQUIRE(write_owner(directory, {{kLabelTaskId, "a1/web/1"}}));
  age(directory + "/owner");
  const auto since = [&] { return *StateLeftovers{state.path}.look({}).at(0).created_at; };
  CHECK(std::chrono::system_clock::now() - since() > std::chrono::minutes{59});
  renew_owner(directory);
  CHECK(std::chrono::system_clock::now() - since() < std::chrono::minutes{59});
}

TEST_CASE("what does not say whose it is is left alone") {
  const State state;
  state.make("nothing");
  std::ofstream{state.make("empty") + "/owner"};
  fs::create_symlink("/etc/hostname", state.make("link") + "/owner");
  REQUIRE(::mkfifo((state.make("fifo") + "/owner").c_str(), 0600) == 0);
  REQUIRE(write_owner(state.make(".s"), {{kLabelNodeId, "n1"}}));
  std::ofstream{state.path / "login-example.com"} << "a file";
  fs::create_directory_symlink(state.make(".hidden"), state.path / "linked");
  CHECK(StateLeftovers{state.path}.look({}).empty());
}

TEST_CASE("where nobody can write down whose a directory is, there is an error and no half of it") {
  const State state;
  const std::string directory = state.make("task");
  fs::create_directory(directory + "/owner");
  const auto failed = write_owner(directory, {{kLabelNodeId, "n1"}});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message().find(directory) != std::string::npos);
  CHECK_FALSE(fs::exists(directory + "/owner.new"));
}

TEST_CASE("what a removal that was cut off has left is found without its owner") {
  const State state;
  state.make("nomad-web-0a1b2c3d");
  const std::string full = state.make("nomad-db-0a1b2c3d");
  for (const char* file : {"/spool.out", "/exit", "/owner.new"}) write(full + file);
  REQUIRE(::mkfifo((full + "/stdin").c_str(), 0600) == 0);
  for (const auto& entry : fs::directory_iterator{state.path}) age(entry.path());
  StateLeftovers leftovers{state.path};
  const auto found = leftovers.look({});
  REQUIRE(names(found) == Names{"nomad-db-0a1b2c3d", "nomad-web-0a1b2c3d"});
  for (const FoundContainer& one : found) {
    CHECK(one.container.id.empty());
    CHECK(one.labels.empty());
    CHECK_FALSE(one.running);
    REQUIRE(one.created_at);
    CHECK(std::chrono::system_clock::now() - *one.created_at > std::chrono::minutes{59});
  }
  CHECK(names(leftovers.look({"nomad-web-0a1b2c3d"})) == Names{"nomad-db-0a1b2c3d"});
  leftovers.claim("nomad-db-0a1b2c3d");
  CHECK(names(leftovers.look({})) == Names{"nomad-web-0a1b2c3d"});
  remove_task_directory(full);
  CHECK_FALSE(fs::exists(full));
}

TEST_CASE("a directory without an owner that may be somebody's is left alone") {
  const State state;
  state.make("nomad-inside-0a1b2c3d");
  write(state.make("nomad-inside-0a1b2c3d/directory") + "/file");
  fs::create_symlink("/etc/hostname", state.make("nomad-link-0a1b2c3d") + "/link");
  fs::permissions(state.make("nomad-shared-0a1b2c3d"), fs::perms::all);
  write(state.make("nomad-blank-0a1b2c3d") + "/owner");  // without a label
  write(state.make("other") + "/spool.out");
  write(state.make(".images") + "/file");
  write(state.path / "login-example.com");
  const std::string locked = state.make("nomad-locked-0a1b2c3d");
  UniqueFd lock{::open((locked + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  REQUIRE(::flock(lock.get(), LOCK_EX | LOCK_NB) == 0);
  const std::string called = state.make("nomad-called-0a1b2c3d");
  UniqueFd call{::open((called + "/calls").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  REQUIRE(::flock(call.get(), LOCK_SH | LOCK_NB) == 0);
  for (const auto& entry : fs::directory_iterator{state.path}) {
    if (entry.is_directory()) age(entry.path());
  }
  state.make("nomad-young-0a1b2c3d");
  const StateLeftovers leftovers{state.path};
  CHECK(names(leftovers.look({})).empty());
  lock.reset();
  call.reset();
  CHECK(names(leftovers.look({})) == Names{"nomad-called-0a1b2c3d", "nomad-locked-0a1b2c3d"});
}

TEST_CASE("a task's directory is removed with all that is in it, and never what a link leads to") {
  const State state;
  const std::string elsewhere = state.make("elsewhere");
  write(elsewhere + "/file");
  const std::string task = state.make("nomad-web-0a1b2c3d");
  REQUIRE(write_owner(task, {{kLabelNodeId, "n1"}}));
  write(task + "/spool.out");
  write(state.make("nomad-web-0a1b2c3d/inside") + "/file");
  fs::create_directory_symlink(elsewhere, task + "/link");
  remove_task_directory(task);
  CHECK_FALSE(fs::exists(task));
  fs::create_directory_symlink(elsewhere, task);
  remove_task_directory(task);
  CHECK_FALSE(fs::is_symlink(task));
  remove_task_directory(task);
  CHECK(fs::exists(elsewhere + "/file"));
}

TEST_CASE("a removal that is killed leaves a directory that says whose it is, or nothing in it") {
  constexpr int kRounds = 8;
  constexpr int kFiles = 400;
  const State state;
  for (int round = 0; round < kRounds; ++round) {
    const std::string task = state.make("nomad-web-" + std::to_string(round));
    for (int i = 0; i < kFiles; ++i) {
      write(task + "/" + std::to_string(i));
      if (i == kFiles / 2) REQUIRE(write_owner(task, {{kLabelNodeId, "n1"}}));
    }
    const pid_t remover = ::fork();
    REQUIRE(remover >= 0);
    if (remover == 0) {
      remove_task_directory(task);
      ::_exit(0);
    }
    const auto left = [&task] {
      std::error_code gone;
      int count = 0;
      fs::directory_iterator entry{task, gone};
      for (; !gone && entry != fs::directory_iterator{}; entry.increment(gone)) ++count;
      return count;
    };
    const int enough = kFiles * (kRounds - round) / (kRounds + 1);
    const auto deadline = std::chrono::steady_clock::now() + ndc::test::kDeadline;
    while (left() > enough && std::chrono::steady_clock::now() < deadline) {
    }
    ::kill(remover, SIGKILL);  // or it has ended
    REQUIRE(::waitpid(remover, nullptr, 0) == remover);
    const int remaining = left();
    CHECK((remaining == 0 || fs::exists(task + "/owner")));
    CHECK(remaining <= enough);
  }
}

TEST_CASE("a task's directory that is still written to goes, or is found by the next look") {
  const State state;
  const std::string name = "nomad-web-0a1b2c3d";
  for (int round = 0; round < 20; ++round) {
    const std::string task = state.make(name);
    REQUIRE(write_owner(task, {{kLabelNodeId, "n1"}}));
    std::atomic<bool> writing{false};
    std::thread monitor{[&task, &writing] {
      // As a monitor writes its record, but without end.
      for (;;) {
        const UniqueFd file{
            ::open((task + "/exit.new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        if (!file) {
          writing = true;
          return;
        }
        ::rename((task + "/exit.new").c_str(), (task + "/exit").c_str());
        if (writing.exchange(true) && !fs::exists(task + "/owner")) return;
      }
    }};
    while (!writing) std::this_thread::yield();
    remove_task_directory(task);
    monitor.join();
    if (!fs::exists(task)) continue;
    age(task);
    CHECK(names(StateLeftovers{state.path}.look({})) == Names{name});
    remove_task_directory(task);
    CHECK_FALSE(fs::exists(task));
  }
}
