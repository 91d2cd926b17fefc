#include <sys/stat.h>

#include <fstream>

#include "runtime/conmon_linux.hpp"
#include "runtime/machine.hpp"

using namespace ndc;
using namespace ndc::test;
using runtime::Conmon;
using runtime::EventLoop;
using runtime::ExitWatch;

// UBSan looks with a pipe whether an object can be read: without descriptors all are bad to it.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("an exit code is seen though no descriptor was free when the watch began") {
  const LeakCheck leaks;
  const TemporaryDirectory directory;
  const std::string id(64, 'd');
  const std::string exits = directory / "exits";
  const std::string go = directory / "go";
  REQUIRE(::mkdir(exits.c_str(), 0700) == 0);
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  EventLoop loop;
  auto command = shell("read x < " + go + "; printf 7 > " + exits + "/.new; mv " + exits +
                       "/.new " + exits + "/" + id);
  for (const std::string& word : {std::string{"-c"}, id, std::string{"--exit-dir"}, exits}) {
    command.argv.push_back(word);
  }
  const Awaited<bool> over;
  run_command(loop, std::move(command), [over](auto) { over.set(true); });
  std::optional<Conmon> conmon;
  REQUIRE(eventually([&] {
    conmon = on_loop(loop, [&] { return Conmon::search(id); });
    return conmon.has_value();
  }));
  const auto watch = std::make_shared<ExitWatch>(loop);
  const Awaited<int> ended;
  on_loop(loop, [&] {
    const NoDescriptors none;
    watch->watch(*conmon, [ended](std::optional<int> code) { ended.set(code.value_or(-1)); });
    return true;
  });
  { std::ofstream{go} << "now\n"; }
  CHECK(ended.get() == 7);
  over.get();
}
#endif
