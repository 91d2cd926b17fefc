#include <signal.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <thread>

#include "runtime/conmon_linux.hpp"
#include "runtime/machine.hpp"
#include "runtime/podman_abandoned_linux.hpp"
#include "runtime/proc_linux.hpp"

using namespace ndc;
using namespace ndc::test;
using runtime::EventLoop;
using runtime::PodmanFiles;

namespace {

void wait_for(EventLoop& loop, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!on_loop(loop, condition)) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
}

void end_abandoned(EventLoop& loop, const PodmanFiles& files) {
  on_loop(loop, [&] {
    runtime::end_abandoned(files, {});
    return true;
  });
}

// A process with a child below it, both noted in the files of a container as conmon's and the
// workload's; `mentions` is in its command line.
struct Left {
  EventLoop& loop;
  const PodmanFiles& files;
  Awaited<bool> over;
  pid_t conmon = 0;
  pid_t workload = 0;

  Left(EventLoop& its_loop, const PodmanFiles& its_files, const std::string& mentions,
       const std::string& option = "")
      : loop{its_loop}, files{its_files} {
    REQUIRE(files.make({}));
    auto command = shell("sleep 60 & echo $! > " + files.pid_file() + "; echo $$ > " +
                         files.conmon_pid_file() + "; wait");
    command.argv.push_back(option);
    command.argv.push_back(mentions);
    command.timeout = std::chrono::minutes{1};
    runtime::run_command(loop, std::move(command), [over = over](auto) { over.set(true); });
    wait_for(loop, [this] {
      workload = files.pid();
      conmon = files.conmon_pid();
      return workload > 0 && conmon > 0;
    });
  }
  Left(const Left&) = delete;
  Left& operator=(const Left&) = delete;
  ~Left() {
    ::kill(workload, SIGKILL);
    ::kill(conmon, SIGKILL);
    over.get();
  }
};

}  // namespace

TEST_CASE("conmon and workload that a killed podman left are ended") {
  const LeakCheck leaks;
  EventLoop loop;
  TemporaryDirectory directory;
  const PodmanFiles files{directory / "state", "nomad-main-0a1b2c3d"};
  const Left left{loop, files, files.conmon_pid_file()};
  SECTION("as their ids say") {}
  SECTION("without ids, for which a full disk had no room") { REQUIRE(files.forget_attempt()); }
  end_abandoned(loop, files);
  left.over.get();
  wait_for(loop, [&] { return !runtime::process_stat(left.workload); });
}

TEST_CASE("a process that has got the number of a conmon is left alone") {
  const LeakCheck leaks;
  EventLoop loop;
  TemporaryDirectory directory;
  const PodmanFiles files{directory / "state", "nomad-main-0a1b2c3d"};
  const Left left{loop, files, directory / "elsewhere/conmon.pid"};
  end_abandoned(loop, files);
  CHECK(on_loop(loop, [&] { return runtime::process_stat(left.conmon).has_value(); }));
  CHECK(on_loop(loop, [&] { return runtime::process_stat(left.workload).has_value(); }));
}

TEST_CASE("a conmon whose process id nobody wrote down is found by its container") {
  const LeakCheck leaks;
  EventLoop loop;
  TemporaryDirectory directory;
  const PodmanFiles files{directory / "state", "nomad-main-0a1b2c3d"};
  const std::string id(64, 'e');
  const Left left{loop, files, id, "-c"};
  const auto found = on_loop(loop, [&] { return runtime::Conmon::search(id); });
  REQUIRE(found);
  CHECK(found->pid == left.conmon);
  CHECK_FALSE(on_loop(loop, [] { return runtime::Conmon::search(std::string(64, 'f')); }));
}

TEST_CASE("what runc did not finish writing does not hinder the next attempt") {
  TemporaryDirectory directory;
  const PodmanFiles files{directory / "state", "nomad-main-0a1b2c3d"};
  REQUIRE(files.make({}));
  for (const char* name : {"/.pid", "/pid", "/id", "/conmon.pid"}) {
    std::ofstream{files.directory() + name} << "1";
  }
  REQUIRE(files.forget_attempt());
  for (const auto& entry : std::filesystem::directory_iterator{files.directory()}) {
    CHECK(entry.path().filename() == "owner");
  }
}
