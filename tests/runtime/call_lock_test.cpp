// Calls that outlived a plugin: the next start under that name waits for their end.

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "runtime/call_lock.hpp"
#include "runtime/machine.hpp"

using namespace ndc;
using namespace ndc::test;
using runtime::EventLoop;

TEST_CASE("a start waits for the calls that an earlier plugin left, if they end") {
  const LeakCheck leaks;
  EventLoop loop;
  const TemporaryDirectory directory;
  const std::string files = directory / ".";
  const std::string go = directory / "go";
  const std::string done = directory / "done";
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  auto call = shell("read x < " + go + "; : > " + done);
  call.extra_fd = runtime::lock_for_call(files);
  REQUIRE(call.extra_fd);
  const Awaited<bool> over;
  run_command(loop, std::move(call), [over](auto) { over.set(true); });
  const Awaited<bool> after_it;
  const Awaited<bool> without_patience;
  on_loop(loop, [&] {
    runtime::await_calls(loop, files, kDeadline,
                         [&] { after_it.set(std::filesystem::exists(done)); });
    runtime::await_calls(loop, files, std::chrono::seconds{0},
                         [&] { without_patience.set(std::filesystem::exists(done)); });
    return true;
  });
  CHECK_FALSE(without_patience.get());
  { std::ofstream{go} << "now\n"; }
  CHECK(after_it.get());
  over.get();
}

TEST_CASE("where there is no call, and no directory, a start waits for nothing") {
  const LeakCheck leaks;
  EventLoop loop;
  const TemporaryDirectory directory;
  CHECK_FALSE(runtime::lock_for_call(directory / "none"));
  const Awaited<bool> begun;
  on_loop(loop, [&] {
    runtime::await_calls(loop, directory / "none", kDeadline, [&] { begun.set(true); });
    return true;
  });
  CHECK(begun.get());
}
