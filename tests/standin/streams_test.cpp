#include <unistd.h>

#include <csignal>
#include <thread>

#include "standin/kit.hpp"
#include "support/catch.hpp"

using namespace standin::kit;
using standin::Version;

namespace {

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void create(const Standin& cli, const std::string& id, const std::string& script) {
  REQUIRE(cli.run({"create", "--name", id, "--", "alpine", "sh", "-c", script}).code == 0);
}

}  // namespace

TEST_CASE("both streams arrive byte for byte, however large", "[streams]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "seq 300000; seq 100000 >&2; printf '\\000\\377'");
  const Result result = cli.run({"start", "-a", "job-1"});
  CHECK(result.code == 0);
  CHECK(result.out.size() == 1988895 + 2);
  CHECK(result.out.ends_with(std::string("300000\n\0\xff", 9)));
  CHECK(result.err.size() == 588895);
  CHECK(cli.read("containers/job-1/log").size() == result.out.size() + result.err.size());
}

TEST_CASE("a workload whose output nobody reads is held back", "[streams]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "echo up; seq 1000000; touch " + cli.path("through"));
  Running attached = cli.start({"start", "-a", "job-1"});
  REQUIRE(attached.await_output("up\n"));
  // The pipes are full when the stored log stops growing, which it does long before the end.
  size_t size = 0;
  CHECK(eventually([&] {
    const size_t before = size;
    standin::sleep_ms(100);
    size = cli.read("containers/job-1/log").size();
    return size != 0 && size == before;
  }));
  CHECK(size < 1000000);
  CHECK_FALSE(standin::read_file(cli.path("through")).has_value());
  CHECK(attached.wait().code == 0);
}

TEST_CASE("output that is not drained in time costs the exit code", "[streams]") {
  for (const auto version : {Version::v0_11_0, Version::v1_2_2}) {
    Standin cli(version);
    cli.set("NDC_STANDIN_DRAIN_MS", "300");
    // It ends when more has gone to the CLI than that and its caller's pipe hold.
    const auto script = [&cli](const std::string& id) {
      return "seq 20000 & until [ $(wc -c <" + cli.path("containers/" + id + "/log") +
             ") -gt 80000 ]; do sleep 0.02; done; exit 4";
    };
    Running undrained = cli.start({"run", "--progress", "none", "--name", "job-1", "--", "alpine",
                                   "sh", "-c", script("job-1")});
    const Result result = undrained.wait_undrained();
    CHECK(result.code == 1);
    CHECK(holds(undrained.wait().err, "failed to run container: CancellationError()"));
    CHECK(cli.json({"list", "-a", "--format", "json"}).Empty());

    create(cli, "job-2", script("job-2"));
    CHECK(cli.start({"start", "-a", "job-2"}).wait_undrained().code == 1);
    CHECK(cli.json({"inspect", "job-2"}).Size() == 1);
  }
}

TEST_CASE("when the attached CLI dies the stored log stops as well", "[streams]") {
  const Standin cli(Version::v1_2_2);
  const std::string go = cli.path("go");
  const std::string done = cli.path("done");
  create(cli, "job-1",
         "echo up; while [ ! -e " + go + " ]; do sleep 0.02; done; seq 20000; touch " + done +
             "; exec sleep 100");
  Running attached = cli.start({"start", "-a", "job-1"});
  REQUIRE(attached.await_output("up\n"));
  attached.signal(SIGKILL);
  attached.wait();
  standin::write_file(go, "");
  // Far more than the pipe holds: some of it has been read by then, and everything before it.
  CHECK(eventually([&] { return standin::read_file(done).has_value(); }));
  CHECK(cli.read("containers/job-1/log") == "up\n");
  CHECK(is_alive(cli.pid_of("job-1")));
}

TEST_CASE("stdin is passed on, or empty", "[streams]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "cat; echo end");
  CHECK(cli.run({"start", "-a", "job-1"}, "text\n").out == "end\n");
  // The state may turn a moment after the call returned.
  CHECK(eventually([&] { return cli.read("containers/job-1/state").starts_with("stopped"); }));
  CHECK(cli.run({"start", "-a", "-i", "job-1"}, "text\n").out == "text\nend\n");
}

TEST_CASE("stdin and output move at the same time", "[streams]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "sleep 60");
  REQUIRE(cli.run({"start", "job-1"}).code == 0);
  // Far more than all pipes between hold.
  const std::string data(4u << 20, 'x');
  Running exec = cli.start({"exec", "-i", "job-1", "sh", "-c", "cat; exit 4"});
  standin::Fd input(dup(exec.in().get()));
  exec.in().reset();
  std::thread typist([&] {
    standin::write_all(input.get(), data);
    input.reset();
  });
  const Result echo = exec.wait();
  typist.join();
  CHECK(echo.code == 4);
  CHECK(echo.out == data);
}

TEST_CASE("a terminal merges the streams", "[streams]") {
  const Standin cli(Version::v1_2_2);
  const Result result =
      cli.run({"run", "-t", "--progress", "none", "--name", "job-1", "--", "alpine", "sh", "-c",
               "test -t 0 && test -t 1 && echo out; echo err >&2"});
  CHECK(result.code == 0);
  CHECK(result.out == "out\r\nerr\r\n");
  CHECK(result.err.empty());
  CHECK(cli.run({"run", "-it", "--progress", "none", "--name", "job-2", "--", "alpine", "true"})
            .code == 1);
}

TEST_CASE("signals to the attached CLI are forwarded in 0.x and lost from 1.0 on", "[streams]") {
  for (const auto version : {Version::v0_12_3, Version::v1_0_0}) {
    const Standin cli(version);
    create(cli, "job-1", "trap 'exit 6' TERM; echo up; while :; do sleep 0.02; done");
    Running attached = cli.start({"start", "-a", "job-1"});
    REQUIRE(attached.await_output("up\n"));
    attached.signal(SIGTERM);
    if (standin::is_old(version)) {
      CHECK(attached.wait().code == 6);
      continue;
    }
    CHECK(attached.wait(300).code < 0);
    CHECK(is_alive(cli.pid_of("job-1")));
    cli.run({"kill", "-s", "15", "job-1"});
    const Result result = attached.wait();
    CHECK(result.code == 6);
    CHECK(holds(result.err, "failed to send signal: [\"error\": invalidArgument"));
  }
}

TEST_CASE("the third signal ends run, not the container", "[streams]") {
  const Standin cli(Version::v1_2_2);
  Running attached = cli.start({"run", "--progress", "none", "--name", "job-1", "--", "alpine",
                                "sh", "-c", "echo up; exec sleep 100"});
  REQUIRE(attached.await_output("up\n"));
  // One at a time, for pending signals of one kind are one: it has words for each that it takes.
  std::string words;
  for (const int number : {SIGTERM, SIGINT}) {
    words +=
        "failed to send signal: [\"error\": invalidArgument: \"missing signal in xpc "
        "message\", \"signal\": " +
        std::to_string(number) + "]\n";
    attached.signal(number);
    Result so_far;
    REQUIRE(eventually([&] { return (so_far = attached.wait(100)).err == words; }));
    CHECK(so_far.code < 0);
  }
  attached.signal(SIGINT);
  CHECK(attached.wait().code == 1);
  CHECK(is_alive(cli.pid_of("job-1")));
}

TEST_CASE("logs lose what the imitated ones lose", "[streams]") {
  const Standin cli(Version::v1_2_2);
  create(cli, "job-1", "printf '\\n\\na\\n\\nb\\n\\n'");
  CHECK(cli.run({"start", "-a", "job-1"}).code == 0);
  CHECK(cli.run({"logs", "job-1"}).out == "a\n\nb\n");
  CHECK(cli.run({"logs", "-n", "5", "job-1"}).out == "a\nb\n");
  CHECK(cli.run({"logs", "-n", "1", "job-1"}).out == "b\n");
  CHECK_FALSE(cli.run({"logs", "--boot", "job-1"}).out.empty());
  create(cli, "job-2", "printf '\\377'");
  CHECK(cli.run({"start", "-a", "job-2"}).code == 0);
  CHECK(holds(cli.run({"logs", "job-2"}).err, "failed to convert container logs to utf8"));
  CHECK(cli.run({"logs", "-n", "3", "job-2"}).code == 0);
  create(cli, "job-3", "true");
  CHECK(cli.run({"start", "-a", "job-3"}).code == 0);
  CHECK(cli.run({"logs", "-f", "job-3"}).code == 0);
  Running endless = cli.start({"logs", "-f", "job-1"});
  CHECK(endless.await_output("b\n"));
  CHECK(endless.wait(300).code < 0);
}
