// Commands in a running task, over the stand-in.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/apple_node.hpp"
#include "runtime/recording_client.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<ExecSession> exec(const Node& node, const ContainerRef& container,
                                  ExecRequest request, std::shared_ptr<ExecClient> client) {
  const Awaited<Expected<std::shared_ptr<ExecSession>>> started;
  node.runtime->exec(container, std::move(request), std::move(client),
                     [started](Expected<std::shared_ptr<ExecSession>> session) {
                       started.set(std::move(session));
                     });
  const auto session = started.get(kLong);
  REQUIRE(session);
  return *session;
}

ExecRequest script(const std::string& text, bool tty = false) {
  ExecRequest request;
  request.command = {"/bin/sh", "-c", text};
  request.tty = tty;
  return request;
}

}  // namespace

TEST_CASE("an exec on a terminal has its size, is told a new one, and returns its exit code") {
  for (const char* version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    const Awaited<TaskExit> exited;
    const auto started = node.start("sleep 60", exited);
    REQUIRE(started);
    const auto client = std::make_shared<RecordingClient>();
    // Both streams are the one terminal; its input is the command's.
    const auto session =
        exec(node, started->container,
             script("trap 'echo again `stty size`' WINCH; [ -t 0 ] && [ -t 1 ] && echo on >&2; "
                    "until [ \"`stty size`\" = '31 97' ]; do sleep 0.02; done; echo sized; "
                    "read line; echo \"got $line\"; until [ \"`stty size`\" = '44 123' ]; do "
                    "sleep 0.02; done; echo resized; exit 7",
                    true),
             client);
    session->resize({31, 97});
    client->wait_for_output("on\r\n");
    client->wait_for_output("sized\r\n");
    session->write("typed\r", {});
    client->wait_for_output("got typed\r\n");
    session->resize({44, 123});
    client->wait_for_output("resized\r\n");
    CHECK(client->end() == ExitStatus{Exited{7}});
    CHECK(client->err().empty());
    CHECK(!exited.is_set());
    CHECK(node.remove(started->container));
  }
}

TEST_CASE("an exec that is cancelled or takes too long ends inside the container too") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 60", exited);
  REQUIRE(started);
  const std::string gone = node.directory / "gone";
  std::chrono::nanoseconds until_output{};
  for (const bool tty : {true, false}) {
    const auto client = std::make_shared<RecordingClient>();
    ExecRequest request = script("echo $$; exec sleep 1000", tty);
    // Not before it has begun, and that takes longer where the machine is busy.
    if (!tty) request.timeout = 1s + 5 * until_output;
    const auto asked = std::chrono::steady_clock::now();
    const auto session = exec(node, started->container, request, client);
    client->wait_for_output("\n");
    until_output = std::chrono::steady_clock::now() - asked;
    const pid_t pid = std::stoi(client->out());
    if (tty) session->cancel();
    const auto end = client->end();
    CHECK((!end || *end != ExitStatus{Exited{0}}));
    CHECK(eventually([&] { return ::kill(pid, 0) != 0; }, kLong));
  }
  CHECK(!exited.is_set());
  CHECK(node.remove(started->container));
}

// The CLI gives up soon after the command's end if it is not rid of the output.
TEST_CASE("a client that takes nothing until the command has ended gets all of it and the code") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 60", exited);
  REQUIRE(started);
  const auto client = std::make_shared<RecordingClient>(false);
  const auto session =
      exec(node, started->container, script("echo $$; head -c 3000000 /dev/zero; exit 7"), client);
  client->wait_for_output("\n");
  const pid_t pid = std::stoi(client->out());
  REQUIRE(eventually([&] { return ::kill(pid, 0) != 0; }, kLong));
  CHECK(client->take_all() == ExitStatus{Exited{7}});
  CHECK(client->out_size() == std::to_string(pid).size() + 1 + 3000000);
  CHECK(node.remove(started->container));
}

TEST_CASE("the words of a failing command are its own, those of the CLI are an error") {
  Node node;
  const Awaited<TaskExit> exited;
  const auto started = node.start("sleep 60", exited);
  REQUIRE(started);
  auto client = std::make_shared<RecordingClient>();
  exec(node, started->container, script("echo Error: mine >&2; exit 1"), client);
  CHECK(client->end() == ExitStatus{Exited{1}});
  client = std::make_shared<RecordingClient>();
  exec(node, started->container, script("echo Error: redis is not running >&2; exit 1"), client);
  CHECK(client->end() == ExitStatus{Exited{1}});
  client = std::make_shared<RecordingClient>();
  ExecRequest missing;
  missing.command = {"/no/such/program"};
  exec(node, started->container, missing, client);
  const auto end = client->end();
  REQUIRE(!end);
  CHECK(contains(end.error().message(), "/no/such/program"));
  CHECK(node.remove(started->container));
}
