#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "runtime/anonymous_file.hpp"
#include "runtime/machine.hpp"

using namespace ndc;
using namespace ndc::test;
using runtime::Command;
using runtime::EventLoop;
using runtime::Stdio;
using runtime::UniqueFd;
using std::chrono::milliseconds;

TEST_CASE("a command's output, error output and exit code are its result") {
  const LeakCheck leaks;
  EventLoop loop;
  const auto result = run(loop, shell("echo out; echo err >&2; exit 3"));
  REQUIRE(result);
  CHECK(result->out == "out\n");
  CHECK(result->err == "err\n");
  CHECK(result->status == ExitStatus{Exited{3}});
  CHECK_FALSE(result->truncated);
}

TEST_CASE("death by a signal is told apart from an exit code") {
  const LeakCheck leaks;
  EventLoop loop;
  const auto result = run(loop, shell("kill -KILL $$"));
  REQUIRE(result);
  CHECK(result->status == ExitStatus{Signalled{SIGKILL}});
}

TEST_CASE("a program that is not on PATH is named together with the cure") {
  const LeakCheck leaks;
  EventLoop loop;
  Command command;
  command.argv = {"no-such-engine", "version", "--password=hunter2"};
  command.environment = {"PATH=/usr/bin:/nowhere"};
  const auto result = run(loop, command);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::kRuntimeUnavailable);
  const std::string message = result.error().message();
  for (const char* part : {"no-such-engine", "/usr/bin:/nowhere", "install"}) {
    CHECK(contains(message, part));
  }
  CHECK_FALSE(contains(message, "hunter2"));
}

TEST_CASE("a path that is missing, a directory or not executable is an error of its own") {
  const LeakCheck leaks;
  EventLoop loop;
  TemporaryDirectory directory;
  const std::string plain = directory / "plain";
  std::ofstream{plain} << "text";
  for (const std::string& path : {std::string{"/nowhere/podman"}, std::string{"/usr"}, plain}) {
    Command command;
    command.argv = {path};
    if (path == plain && ::geteuid() == 0) ::chmod(plain.c_str(), 0600);
    const auto result = run(loop, command);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::kRuntimeUnavailable);
    CHECK(contains(result.error().message(), path));
  }
}

TEST_CASE("a program is looked up on the PATH of the given environment") {
  const LeakCheck leaks;
  EventLoop loop;
  TemporaryDirectory directory;
  const std::string tool = directory / "only-here";
  std::ofstream{tool} << "#!/bin/sh\necho found\n";
  ::chmod(tool.c_str(), 0755);
  Command command;
  command.argv = {"only-here"};
  command.environment = {"PATH=/nowhere:" + (directory / "")};
  const auto result = run(loop, command);
  REQUIRE(result);
  CHECK(result->out == "found\n");
}

TEST_CASE("past its deadline the whole process group is killed") {
  const LeakCheck leaks;
  EventLoop loop;
  auto command = shell("sleep 60 & echo $!; wait");
  command.argv.push_back("--secret");
  command.timeout = milliseconds{150};
  const auto start = std::chrono::steady_clock::now();
  const auto result = run(loop, command);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::kTimeout);
  CHECK(result.error().on == "sh -c");
  CHECK(result.error().cause == "no answer within 150ms; killed");
  CHECK_FALSE(contains(result.error().message(), "secret"));
  CHECK_FALSE(contains(result.error().message(), "sleep"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{30});
}

TEST_CASE("a command that ends with its loop is killed with all of its group, another lives on") {
  for (const bool ends : {true, false}) {
    const LeakCheck leaks;
    const TemporaryDirectory directory;
    const std::string file = directory / "pids";
    pid_t pids[2] = {0, 0};
    {
      EventLoop loop;
      auto command =
          shell("sleep 60 & echo $$ $! > " + file + ".new; mv " + file + ".new " + file + "; wait");
      command.ends_with_loop = ends;
      command.out = command.err = Stdio::null();
      run_command(loop, std::move(command), [](auto) {});
      REQUIRE(eventually([&] { return bool{std::ifstream{file} >> pids[0] >> pids[1]}; }));
    }
    if (ends) {
      // Where the machine is busy it dies after its loop, which reaps it otherwise.
      CHECK(eventually([&] { return ::waitpid(pids[0], nullptr, WNOHANG) != 0; }));
      CHECK(eventually([&] { return ::kill(pids[1], 0) != 0; }));
    } else {
      for (const pid_t pid : pids) CHECK(::kill(pid, SIGKILL) == 0);
      CHECK(::waitpid(pids[0], nullptr, 0) == pids[0]);
    }
  }
}

TEST_CASE("a stream that a descendant keeps open delays the result only briefly") {
  const LeakCheck leaks;
  EventLoop loop;
  const auto start = std::chrono::steady_clock::now();
  const auto result = run(loop, shell("sleep 60 & echo $!"));
  REQUIRE(result);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{30});
  const pid_t descendant = std::stoi(result->out);
  REQUIRE(descendant > 1);
  CHECK(::kill(descendant, SIGKILL) == 0);  // it had the stream open all the time
}

TEST_CASE("output beyond the limit is read and dropped") {
  const LeakCheck leaks;
  EventLoop loop;
  auto command = shell("head -c 1000000 /dev/zero; echo err >&2");
  command.capture_limit = 1000;
  const auto result = run(loop, command);
  REQUIRE(result);
  CHECK(result->out.size() == 1000);
  CHECK(result->err == "err\n");
  CHECK(result->truncated);
  CHECK(result->status == ExitStatus{Exited{0}});
}

TEST_CASE("a child has exactly the descriptors that were named") {
  const LeakCheck leaks;
  EventLoop loop;
  const UniqueFd ours{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  auto command = shell("for f in /dev/fd/*; do echo ${f##*/}; done");
  const auto without = run(loop, command);
  REQUIRE(without);
  command.extra_fd = *runtime::anonymous_file("A=1\n");
  const auto with = run(loop, command);
  REQUIRE(with);
  // The shell's own descriptor for reading the directory is the one after the last.
  CHECK(without->out == "0\n1\n2\n3\n");
  CHECK(with->out == "0\n1\n2\n3\n4\n");
}

TEST_CASE("stdin is empty, the directory is the root and the environment is what was given") {
  const LeakCheck leaks;
  EventLoop loop;
  auto command = shell("cat; pwd; env | grep -v -e ^_= -e ^PWD= -e ^SHLVL= -e ^OLDPWD=");
  command.environment = {"PATH=/usr/bin:/bin", "ONLY=this"};
  const auto result = run(loop, command);
  REQUIRE(result);
  CHECK(result->out == "/\nPATH=/usr/bin:/bin\nONLY=this\n");
}

TEST_CASE("a child is a session of its own with default signals") {
  const LeakCheck leaks;
  EventLoop loop;
  const auto result = run(loop, shell("kill -PIPE $$; echo survived"));
  REQUIRE(result);
  CHECK(result->status == ExitStatus{Signalled{SIGPIPE}});
  // A leader of a session has no terminal to open, and its process group is its own.
  const auto session =
      run(loop, shell("kill -s 0 -- -$$ && echo leader; (: < /dev/tty) || echo none"));
  REQUIRE(session);
  CHECK(session->out == "leader\nnone\n");
}

TEST_CASE("an anonymous file is readable as /dev/fd/3 and has no name") {
  const LeakCheck leaks;
  EventLoop loop;
  auto command = shell("cat /dev/fd/3");
  auto file = runtime::anonymous_file("SECRET=x\n");
  REQUIRE(file);
  struct stat info {};
  ::fstat((*file)->get(), &info);
  CHECK(info.st_nlink == 0);
  CHECK((::fcntl((*file)->get(), F_GETFD) & FD_CLOEXEC) != 0);
  command.extra_fd = *file;
  const auto result = run(loop, command);
  REQUIRE(result);
  CHECK(result->out == "SECRET=x\n");
}

TEST_CASE("a command whose descriptor is closed by the time of its spawn is not run") {
  const LeakCheck leaks;
  EventLoop loop;
  auto command = shell("exit 0");
  SECTION("its output") {
    command.out = Stdio::descriptor([] { return nullptr; });
  }
  SECTION("what it holds") {
    command.held_fds[0] = [] { return nullptr; };
  }
  const auto result = run(loop, std::move(command));
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::kRuntimeUnavailable);
}

TEST_CASE("a stream can go to a descriptor or nowhere") {
  const LeakCheck leaks;
  EventLoop loop;
  TemporaryDirectory directory;
  const std::string path = directory / "out";
  auto command = shell("echo out; echo err >&2");
  command.out = Stdio::descriptor([path] {
    return std::make_shared<UniqueFd>(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  });
  command.err = Stdio::null();
  const auto result = run(loop, std::move(command));
  REQUIRE(result);
  CHECK(result->out.empty());
  CHECK(result->err.empty());
  std::string text;
  std::getline(std::ifstream{path}, text);
  CHECK(text == "out");
}

TEST_CASE("many commands at once each get their own result") {
  const LeakCheck leaks;
  EventLoop loop;
  std::vector<Awaited<Expected<runtime::CommandResult>>> results(40);
  for (std::size_t i = 0; i < results.size(); ++i) {
    runtime::run_command(loop, shell("echo " + std::to_string(i)),
                         [result = results[i]](auto got) { result.set(std::move(got)); });
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto got = results[i].get();
    REQUIRE(got);
    CHECK(got->out == std::to_string(i) + "\n");
  }
}

TEST_CASE("an engine's program inherits what it needs, and no token of the agent") {
  ::setenv("NOMAD_PLUGIN_MAGIC_COOKIE", "x", 1);
  ::setenv("PLUGIN_MIN_PORT", "1", 1);
  ::setenv("VAULT_TOKEN", "s3cr3t", 1);
  ::setenv("NDC_TEST_KEPT", "1", 1);
  ::setenv("ENGINE_HOME", "2", 1);
  ::setenv("ENGINE_OPTION", "3", 1);
  const auto all = runtime::child_environment({"ENGINE_HOME"}, {"ENGINE_OPT"});
  const auto has = [&all](const std::string& entry) {
    return std::find(all.begin(), all.end(), entry) != all.end();
  };
  CHECK(has("NDC_TEST_KEPT=1"));
  CHECK(has("ENGINE_HOME=2"));
  CHECK(has("ENGINE_OPTION=3"));
  for (const std::string& each : all) {
    CHECK_FALSE(each.starts_with("PLUGIN_"));
    CHECK_FALSE(each.starts_with("NOMAD_PLUGIN_MAGIC_COOKIE"));
    CHECK_FALSE(each.starts_with("VAULT_TOKEN"));
  }
  ::unsetenv("VAULT_TOKEN");
}

TEST_CASE("a command reads what it is given, and nothing otherwise") {
  const LeakCheck leaks;
  EventLoop loop;
  auto input = runtime::anonymous_file("given\n");
  REQUIRE(input);
  Command command = shell("cat");
  command.in = std::move(*input);
  const auto given = run(loop, std::move(command));
  REQUIRE(given);
  CHECK(given->out == "given\n");
  const auto nothing = run(loop, shell("cat"));
  REQUIRE(nothing);
  CHECK(nothing->out.empty());
}
