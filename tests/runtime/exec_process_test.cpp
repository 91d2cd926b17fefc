#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "runtime/exec_process.hpp"
#include "runtime/machine.hpp"
#include "runtime/recording_client.hpp"

using namespace ndc;
using namespace ndc::test;
using runtime::EventLoop;
using std::chrono::milliseconds;

namespace {

using Session = std::shared_ptr<ExecSession>;

Expected<Session> start(EventLoop& loop, const std::string& script,
                        std::shared_ptr<ExecClient> client, ExecRequest request = {},
                        runtime::ExecProcessOptions options = {}) {
  const Awaited<Expected<Session>> started;
  loop.post(
      [&] { started.set(runtime::start_exec(loop, shell(script), request, client, options)); });
  return started.get();
}

ExecRequest terminal() {
  ExecRequest request;
  request.tty = true;
  return request;
}

void write(const Session& session, std::string bytes) {
  const Awaited<bool> taken;
  session->write(std::move(bytes), [taken] { taken.set(true); });
  taken.get();
}

}  // namespace

TEST_CASE("an exec delivers both streams apart, then its exit code") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  REQUIRE(start(loop, "echo out; echo err >&2; exit 7", client));
  CHECK(client->end() == ExitStatus{Exited{7}});
  CHECK(client->out() == "out\n");
  CHECK(client->err() == "err\n");
}

TEST_CASE("input reaches the command until it is closed") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  const auto session = start(loop, "cat", client);
  REQUIRE(session);
  write(*session, "one\n");
  client->wait_for_output("one\n");
  (*session)->write("two\n", {});
  (*session)->close_stdin();
  CHECK(client->end() == ExitStatus{Exited{0}});
  CHECK(client->out() == "one\ntwo\n");
  write(*session, "after the end is harmless");
  (*session)->close_stdin();
  (*session)->resize({1, 1});
  (*session)->cancel();
  settle(loop);
}

TEST_CASE("input is taken only as fast as the command reads") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  TemporaryDirectory directory;
  const std::string gate = directory / "gate";
  REQUIRE(::mkfifo(gate.c_str(), 0600) == 0);
  const auto session = start(loop, "echo ready; read go < '" + gate + "'; wc -c", client);
  REQUIRE(session);
  client->wait_for_output("ready\n");
  const Awaited<bool> taken;
  (*session)->write(std::string(4u << 20, 'x'), [taken] { taken.set(true); });
  (*session)->close_stdin();
  settle(loop);
  CHECK_FALSE(taken.is_set());
  std::ofstream{gate} << "go\n";
  taken.get();
  CHECK(client->end() == ExitStatus{Exited{0}});
  CHECK(contains(client->out(), "4194304"));
}

TEST_CASE("writing to a command that reads nothing is answered when it ends") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  const auto session = start(loop, "echo ready; exec <&-; exit 0", client);
  REQUIRE(session);
  write(*session, std::string(1u << 20, 'x'));
  CHECK(client->end() == ExitStatus{Exited{0}});
}

TEST_CASE("no more output arrives than the client takes, and none is lost") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>(false);
  REQUIRE(start(loop, "head -c 300000 /dev/zero", client));
  while (!client->ended()) {
    if (client->out().size() == 300000 && client->pieces_waiting() == 0) break;
    REQUIRE(client->wait_for_piece());
    CHECK(client->pieces_waiting() == 1);
    CHECK_FALSE(client->ended());
    client->take_one();
  }
  CHECK(client->end() == ExitStatus{Exited{0}});
  CHECK(client->out().size() == 300000);
}

TEST_CASE("a command can end before its client has taken any output, which is all still there") {
  const LeakCheck leaks;
  EventLoop loop;
  for (const bool tty : {false, true}) {
    auto client = std::make_shared<RecordingClient>(false);
    ExecRequest request;
    request.tty = tty;
    REQUIRE(start(loop, "echo $$; head -c 3000000 /dev/zero; exit 7", client, request));
    client->wait_for_output("\n");
    const pid_t pid = std::stoi(client->out());
    REQUIRE(eventually([&] { return ::kill(pid, 0) != 0; }));
    CHECK(client->take_all() == ExitStatus{Exited{7}});
    const std::string out = client->out();
    CHECK(out.size() - out.find('\n') - 1 == 3000000);
  }
}

TEST_CASE(
    "what a terminal holds when its command has ended is not lost while others have it open") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>(false);
  // A few KiB more than are read ahead: they can be written without a reader.
  constexpr std::size_t kSize = (4u << 20) + (10u << 10);
  REQUIRE(start(
      loop,
      "trap '' HUP; sleep 1 & echo $$ $!; head -c " + std::to_string(kSize) + " /dev/zero; exit 5",
      client, terminal()));
  client->wait_for_output("\n");
  pid_t command = 0;
  pid_t other = 0;
  REQUIRE(std::istringstream{client->out()} >> command >> other);
  for (const pid_t pid : {command, other}) {
    REQUIRE(eventually([&] { return ::kill(pid, 0) != 0; }));
  }
  CHECK(client->take_all() == ExitStatus{Exited{5}});
  const std::string out = client->out();
  CHECK(out.size() - out.find('\n') - 1 == kSize);
}

TEST_CASE("a command that prints more than is read ahead waits for its client") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>(false);
  constexpr std::size_t kMuch = 32u << 20;
  constexpr std::size_t kAheadAtMost = 8u << 20;  // with what is in the pipe and with the client
  REQUIRE(start(loop, "echo $$; exec head -c " + std::to_string(kMuch) + " /dev/zero", client));
  client->wait_for_output("\n");
  const pid_t pid = std::stoi(client->out());
  while (client->out_size() < kMuch - kAheadAtMost) {
    REQUIRE(::kill(pid, 0) == 0);
    client->take_one();
    REQUIRE(client->wait_for_piece());
  }
  CHECK(client->take_all() == ExitStatus{Exited{0}});
  CHECK(client->out_size() == std::to_string(pid).size() + 1 + kMuch);
}

TEST_CASE("output that a client drops without taking counts as taken") {
  const LeakCheck leaks;
  EventLoop loop;
  class Careless : public ExecClient {
   public:
    void output(OutputStream, std::string bytes, std::function<void()>) override {
      size += bytes.size();
    }
    void finished(Expected<ExitStatus> status) override { end.set(std::move(status)); }
    std::size_t size = 0;
    Awaited<Expected<ExitStatus>> end;
  };
  auto client = std::make_shared<Careless>();
  REQUIRE(start(loop, "head -c 200000 /dev/zero", client));
  CHECK(client->end.get() == ExitStatus{Exited{0}});
  CHECK(client->size == 200000);
}

TEST_CASE("an exec that runs too long is ended inside the container and here") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  const Awaited<bool> inside;
  runtime::ExecProcessOptions options;
  options.terminate_inside = [inside] { inside.set(true); };
  ExecRequest request;
  request.timeout = milliseconds{100};
  REQUIRE(start(loop, "sleep 60 & wait", client, request, options));
  const auto end = client->end();
  REQUIRE_FALSE(end);
  CHECK(end.error().code == ErrorCode::kTimeout);
  CHECK(inside.times() == 1);
}

TEST_CASE("a cancelled exec finishes even if its client takes nothing") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>(false);
  const auto session = start(loop, "echo ready; sleep 60", client);
  REQUIRE(session);
  client->wait_for_output("ready\n");
  (*session)->cancel();
  (*session)->cancel();
  const auto end = client->end();
  REQUIRE_FALSE(end);
  CHECK(end.error().code == ErrorCode::kCancelled);
}

TEST_CASE("the adapter turns the exit into a status or an error with the tail of stderr") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  runtime::ExecProcessOptions options;
  const Awaited<ExitStatus> seen;
  options.interpret = [seen](const ExitStatus& status,
                             const std::string& tail) -> Expected<ExitStatus> {
    seen.set(status);
    return fail({ErrorCode::kContainerGone, "exec", "x", tail, {}});
  };
  REQUIRE(start(loop, "head -c 9000 /dev/zero >&2; echo no such container >&2; exit 125", client,
                {}, options));
  const auto end = client->end();
  REQUIRE_FALSE(end);
  CHECK(seen.get() == ExitStatus{Exited{125}});
  CHECK(end.error().cause.size() == 4096);
  CHECK(end.error().cause.ends_with("no such container\n"));
}

TEST_CASE("a CLI that a signal ended is an error, not an exit of the command") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  runtime::ExecProcessOptions options;
  options.interpret = [](const ExitStatus& status, const std::string&) -> Expected<ExitStatus> {
    return status;
  };
  REQUIRE(start(loop, "kill -PIPE $$", client, {}, options));
  const auto end = client->end();
  REQUIRE_FALSE(end);
  CHECK(end.error().code == ErrorCode::kRuntimeUnavailable);
  CHECK(contains(end.error().cause, "signal 13"));
}

TEST_CASE("an exec that cannot be spawned tells only the caller") {
  const LeakCheck leaks;
  EventLoop loop;
  for (const bool tty : {false, true}) {
    auto client = std::make_shared<RecordingClient>();
    const Awaited<Expected<Session>> started;
    ExecRequest request;
    request.tty = tty;
    loop.post([&] {
      runtime::Command command;
      command.argv = {"/nowhere/podman", "exec"};
      started.set(runtime::start_exec(loop, command, request, client, {}));
    });
    const auto got = started.get();
    REQUIRE_FALSE(got);
    CHECK(got.error().code == ErrorCode::kRuntimeUnavailable);
    settle(loop);
    CHECK_FALSE(client->ended());
  }
}

TEST_CASE("a descendant that holds the streams delays the end only briefly") {
  const LeakCheck leaks;
  EventLoop loop;
  for (const bool tty : {false, true}) {
    auto client = std::make_shared<RecordingClient>();
    ExecRequest request;
    request.tty = tty;
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(start(loop, "trap '' HUP; sleep 60 & echo $!; exit 5", client, request));
    CHECK(client->end() == ExitStatus{Exited{5}});
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds{30});
    const pid_t descendant = std::stoi(client->out());
    REQUIRE(descendant > 1);
    CHECK(::kill(descendant, SIGKILL) == 0);  // it had the streams open all the time
  }
}

TEST_CASE("a terminal is the command's controlling terminal and carries all its output") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  REQUIRE(start(loop, "tty -s && echo yes > /dev/tty; echo err >&2; exit 4", client, terminal()));
  CHECK(client->end() == ExitStatus{Exited{4}});
  CHECK(client->out() == "yes\r\nerr\r\n");
  CHECK(client->err().empty());
}

TEST_CASE("a terminal takes the latest size and tells the command") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  const auto session =
      start(loop, "trap 'stty size; exit 0' WINCH; echo ready; while :; do read x; done", client,
            terminal());
  REQUIRE(session);
  client->wait_for_output("ready");
  (*session)->resize({0, 0});
  (*session)->resize({41, 132});
  write(*session, "\n");
  CHECK(client->end() == ExitStatus{Exited{0}});
  CHECK(contains(client->out(), "41 132"));
}

TEST_CASE("closing the input of a terminal is an end of file, also within a line") {
  const LeakCheck leaks;
  EventLoop loop;
  for (const std::string& input : {std::string{}, std::string{"line\n"}, std::string{"part"}}) {
    auto client = std::make_shared<RecordingClient>();
    const auto session = start(loop, "stty -echo; echo ready; cat", client, terminal());
    REQUIRE(session);
    client->wait_for_output("ready\r\n");
    write(*session, input);
    (*session)->close_stdin();
    CHECK(client->end() == ExitStatus{Exited{0}});
    if (!input.empty()) CHECK(contains(client->out(), input.substr(0, 4)));
  }
}

TEST_CASE("Ctrl-C on a terminal interrupts the command") {
  const LeakCheck leaks;
  EventLoop loop;
  auto client = std::make_shared<RecordingClient>();
  const auto session = start(loop, "echo ready; exec sleep 60", client, terminal());
  REQUIRE(session);
  client->wait_for_output("ready");
  write(*session, "\x03");
  CHECK(client->end() == ExitStatus{Signalled{SIGINT}});
}

TEST_CASE("a loop that ends under a running exec leaks nothing") {
  const LeakCheck leaks;
  for (const bool tty : {false, true}) {
    auto loop = std::make_unique<EventLoop>();
    auto client = std::make_shared<RecordingClient>(false);
    ExecRequest request;
    request.tty = tty;
    const auto session = start(*loop, "echo $$; exec cat", client, request);
    REQUIRE(session);
    client->wait_for_output("\n");
    const pid_t pid = std::stoi(client->out());
    loop.reset();
    client->take_one();
    (*session)->cancel();
    // Its streams are gone, so cat ends by itself.
    CHECK(::waitpid(pid, nullptr, 0) == pid);
  }
}
