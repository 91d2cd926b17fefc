// /proc's texts, and what is made of conmon's command line and exit file.

#include <unistd.h>

#include <fstream>

#include "../runtime/machine.hpp"
#include "runtime/conmon_linux.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_peer_linux.hpp"
#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

const std::string kId(64, 'c');

std::string stat_line(const std::string& name) {
  return "42 (" + name + ") S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10\n";
}

TEST_CASE("a process is read whatever its program is called") {
  for (const char* name : {"sh", "a b", ") R 1 1 1 (", "((", "", "x)", "\xFF\n"}) {
    CAPTURE(name);
    const auto stat = parse_stat(stat_line(name));
    REQUIRE(stat.has_value());
    CHECK(stat->state == 'S');
    CHECK(stat->parent == 7);
    CHECK(stat->session == 41);
    CHECK(stat->start_time == 98765);
  }
}

TEST_CASE("a process line that is cut or garbled is none") {
  const std::string line = "42 (sh) S 7 42 41 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 98765";
  for (std::size_t length = 0; length + 5 < line.size(); ++length) {
    CHECK_FALSE(parse_stat(line.substr(0, length)).has_value());
  }
  CHECK(parse_stat(line).has_value());
  for (const char* wrong : {")", ") ", "1 (a) SS 7 42 41 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 9 ",
                            "1 (a) S x 42 41 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 9 ",
                            "1 (a) S 7 42 41 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 -9 "}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_stat(wrong).has_value());
  }
}

TEST_CASE("this very process is found") {
  const auto stat = process_stat(::getpid());
  REQUIRE(stat.has_value());
  CHECK(stat->parent == ::getppid());
  CHECK_FALSE(process_arguments(::getpid()).empty());
  CHECK_FALSE(in_container(::getpid(), kId));
  CHECK_FALSE(in_container(::getpid(), ""));
  CHECK_FALSE(process_stat(0).has_value());
  CHECK_FALSE(process_stat(-1).has_value());
  CHECK_FALSE(static_cast<bool>(open_pidfd(0)));
  CHECK_FALSE(static_cast<bool>(open_pidfd(-1)));
}

TEST_CASE("a file is read up to its limit") {
  const test::TemporaryDirectory directory;
  std::ofstream{directory / "f"} << std::string(10'000, 'x');
  CHECK(read_file(directory / "f")->size() == 10'000);
  CHECK(read_file(directory / "f", 100)->size() == 100);
  CHECK_FALSE(read_file(directory / "none").has_value());
  CHECK_FALSE(read_file(directory / ".").has_value());
}

TEST_CASE("the address of a network namespace is the first that is local and no loopback") {
  constexpr const char* kTrie =
      "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n"
      "     +-- 10.88.0.0/16 2 0 2\n        |-- 10.88.0.0\n           /16 link UNICAST\n"
      "        |-- 10.88.0.5\n           /32 host LOCAL\n        |-- 10.88.255.255\n"
      "           /32 link BROADCAST\n     +-- 127.0.0.0/8 2 0 2\n        |-- 127.0.0.1\n"
      "           /32 host LOCAL\n";
  CHECK(parse_fib_trie(kTrie) == "10.88.0.5");
  CHECK(parse_fib_trie("  |-- 127.0.0.1\n     /32 host LOCAL\n").empty());
  for (const char* wrong : {"", "/32 host LOCAL\n", "|-- ", "|-- \n/32 host LOCAL", "\n\n"}) {
    CHECK(parse_fib_trie(wrong).empty());
  }
}

TEST_CASE("moved bytes are those read and written") {
  CHECK(parse_io("rchar: 10\nwchar: 5\nsyscr: 99\nread_bytes: 7\n") == 15);
  CHECK(parse_io("wchar: 5") == 5);
  for (const char* wrong : {"", "rchar: x\n", "rchar:5\n", "rchar: -5\n", "xrchar: 5\n"}) {
    CHECK_FALSE(parse_io(wrong).has_value());
  }
}

TEST_CASE("an exit file counts with a whole exit code in it only") {
  const test::TemporaryDirectory directory;
  const Conmon conmon{1, 1, kId, directory / "."};
  CHECK_FALSE(conmon.exit_file().has_value());
  const auto written = [&](const std::string& text) {
    std::ofstream{directory / kId} << text;
    return conmon.exit_file();
  };
  CHECK(written("0") == 0);
  CHECK(written("137") == 137);
  CHECK(written("3\n") == 3);
  for (const char* wrong : {"", "\n", "x", "-1", "256", "3x", "3 4", " 3", "99999999999"}) {
    CAPTURE(wrong);
    CHECK_FALSE(written(wrong).has_value());
  }
  CHECK_FALSE((Conmon{1, 1, kId, ""}.exit_file().has_value()));
}

TEST_CASE("conmon comes back from a reference as it was saved, and nothing hostile with it") {
  ContainerRef container{"n", kId, {}};
  Conmon{12, 34, kId, "/run/exits"}.save(container);
  const Conmon back = Conmon::from(container);
  CHECK(back.pid == 12);
  CHECK(back.start_time == 34);
  CHECK(back.container_id == kId);
  CHECK(back.exit_dir == "/run/exits");

  // The last is 1 in 32 bits.
  for (const char* pid : {"x", "-1", "12x", "4294967297"}) {
    CAPTURE(pid);
    container.state = {{"conmon_pid", pid}, {"conmon_start", "-1"}, {"exit_dir", "../etc"}};
    const Conmon hostile = Conmon::from(container);
    CHECK(hostile.pid == 0);
    CHECK(hostile.start_time == 0);
    CHECK(hostile.exit_dir.empty());
    CHECK_FALSE(hostile.alive());
  }
}

TEST_CASE("the owner of a network comes back from a reference, and nothing hostile with it") {
  ContainerRef container{"n", kId, {}};
  NetworkOwner{"nomad-db-1", kId}.save(container);
  const auto back = NetworkOwner::from(container);
  REQUIRE(back.has_value());
  CHECK(back->name == "nomad-db-1");
  CHECK(back->id == kId);
  for (const auto& [name, id] :
       {std::pair{std::string{"../x"}, kId}, {"", kId}, {"n", "-a"}, {"n", ""}}) {
    CAPTURE(name, id);
    NetworkOwner{name, id}.save(container);
    CHECK_FALSE(NetworkOwner::from(container).has_value());
  }
}

TEST_CASE("of a command line that is no conmon's of the container nothing is taken") {
  const auto exit_dir = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "conmon");
    return parse_conmon(arguments, kId);
  };
  CHECK(exit_dir({"-c", kId, "--exit-dir", "/run/exits"}) == "/run/exits");
  CHECK(exit_dir({"-c", kId}) == "");
  CHECK(exit_dir({"-c", kId, "--exit-dir"}) == "");
  CHECK(exit_dir({"-c", kId, "--exit-dir", "run"}) == "");
  CHECK_FALSE(exit_dir({"-n", kId, "--exit-dir", "/run/exits"}).has_value());
  CHECK_FALSE(exit_dir({"-c"}).has_value());
  CHECK_FALSE(parse_conmon({}, kId).has_value());
}

TEST_CASE("a process that is no conmon of the container is not taken for it") {
  CHECK_FALSE(Conmon::find(::getpid(), kId).has_value());
  CHECK_FALSE(Conmon::find(0, kId).has_value());
  const auto stat = process_stat(::getpid());
  CHECK_FALSE((Conmon{::getpid(), stat->start_time, kId, ""}.alive()));
}

TEST_CASE("conmon is known by its command line, its exit directory with it") {
  const test::LeakCheck leaks;
  EventLoop loop;
  Command command;
  command.argv = {"/bin/sh", "-c", "read line", "conmon", "-c", kId, "--exit-dir", "/run/exits"};
  command.environment = {"PATH=/usr/bin:/bin"};
  command.timeout = test::kDeadline;
  const test::Awaited<std::optional<Conmon>> found;
  const test::Awaited<bool> ended;
  command.watch = [found](pid_t pid) -> std::optional<Error> {
    if (!found.is_set()) {
      if (auto conmon = Conmon::find(pid, kId)) {
        CHECK(conmon->alive());
        CHECK_FALSE(Conmon::find(pid, std::string(64, 'd')).has_value());
        found.set(std::move(conmon));
      }
      return std::nullopt;
    }
    return Error{ErrorCode::kCancelled, "end", "it", "seen", {}};
  };
  command.watch_interval = std::chrono::milliseconds{20};
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd writer{ends[1]};
  command.in = std::make_shared<UniqueFd>(ends[0]);
  loop.post([&, command = std::move(command)]() mutable {
    run_command(loop, std::move(command), [ended](Expected<CommandResult>) { ended.set(true); });
  });
  const auto conmon = found.get();
  REQUIRE(conmon.has_value());
  CHECK(conmon->exit_dir == "/run/exits");
  CHECK(conmon->start_time > 0);
  ended.get();
  CHECK_FALSE(conmon->alive());
  test::settle(loop);
}

TEST_CASE("a container's files are its own user's, and only for names of containers") {
  const test::TemporaryDirectory directory;
  for (const char* name : {"", "..", "../x", "a/b", ".hidden"}) {
    CAPTURE(name);
    CHECK_FALSE(PodmanFiles(directory / "state", name).make({}).has_value());
  }
  const PodmanFiles files{directory / "state", "nomad-web-1"};
  REQUIRE(files.make({}).has_value());
  std::ofstream{files.id_file()} << kId << "\n";
  std::ofstream{files.pid_file()} << "12\n";
  std::ofstream{files.conmon_pid_file()} << "12x";
  CHECK(files.id() == kId);
  CHECK(files.pid() == 12);
  CHECK(files.conmon_pid() == 0);
  REQUIRE(files.make({}).has_value());
  CHECK_FALSE(files.id().has_value());
  PodmanFiles(directory / "state", "..").remove();
  CHECK(std::filesystem::exists(files.directory()));
  files.remove();
  CHECK_FALSE(std::filesystem::exists(files.directory()));
}

TEST_CASE("a container id is 64 lower-case hex digits") {
  CHECK(is_container_id(kId));
  for (const std::string& wrong :
       {std::string{}, std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'),
        std::string(64, 'g'), "-" + std::string(63, 'a')}) {
    CHECK_FALSE(is_container_id(wrong));
    CHECK(parse_container_id(wrong).empty());
  }
  CHECK(parse_container_id(kId + "\nmore") == kId);
  CHECK(parse_container_id("\n" + kId).empty());
}

TEST_CASE("a process id is a whole number above zero") {
  CHECK(parse_process_id("12\n") == 12);
  CHECK(parse_process_id("12 13") == 12);
  for (const char* wrong : {"", "\n12", "0", "-1", "12x", "+12", "4294967297"}) {
    CAPTURE(wrong);
    CHECK(parse_process_id(wrong) == 0);
  }
}

}  // namespace
}  // namespace ndc::runtime
