// Settings that only machines have, seen in the stand-in's record and in the task.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/apple_node.hpp"
#include "runtime/unique_fd.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

const std::vector<std::string> kVersions{"0.11.0", "0.12.3", "1.0.0", "1.1.0", "1.2.2"};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::strcpy(address.sun_path, path.c_str());
  return address;
}

UniqueFd make_socket() {
  UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM, 0)};
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  return fd;
}

UniqueFd listen_at(const std::string& path) {
  UniqueFd fd = make_socket();
  const sockaddr_un address = address_of(path);
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd.get(), 4) == 0);
  return fd;
}

bool connects(const UniqueFd& fd, const std::string& path) {
  const sockaddr_un address = address_of(path);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool answers(const std::string& path) { return connects(make_socket(), path); }

bool readable(const UniqueFd& fd) {
  pollfd waiting{fd.get(), POLLIN, 0};
  return ::poll(&waiting, 1, 60'000) == 1;
}

// Whether what is said at `path` is heard by the task that listens.
bool leads_to(const UniqueFd& task, const std::string& path) {
  const UniqueFd client = make_socket();
  if (!connects(client, path) || !readable(task)) return false;
  const UniqueFd served{::accept(task.get(), nullptr, nullptr)};
  char text[8] = {};
  return ::write(client.get(), "hello", 5) == 5 && readable(served) &&
         ::read(served.get(), text, sizeof text) == 5 && std::string{text} == "hello";
}

std::function<void(TaskConfig&)> publishing(const std::string& path) {
  return [path](TaskConfig& c) { c.publish_sockets = {{path, "/alloc/inside.sock", {}}}; };
}

Expected<void> check(const Node& node, const StartRequest& request) {
  return node.call(
      [&](Done<void> done) { node.runtime->check(request.spec, request.config, std::move(done)); });
}

std::string text_of(const Node& node, const std::string& name) {
  const std::ifstream file{node.directory / ("cli/" + name)};
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string record_of(const Node& node) {
  return text_of(node, "containers/" + node.id + "/record.json");
}

// The agent of whoever runs the Nomad client.
class Agent {
 public:
  explicit Agent(const std::string& path) : listener_{listen_at(path)} {
    ::setenv("SSH_AUTH_SOCK", path.c_str(), 1);
  }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent() { ::unsetenv("SSH_AUTH_SOCK"); }

 private:
  UniqueFd listener_;
};

}  // namespace

TEST_CASE("a task's socket is reached at its path on the host") {
  for (const std::string version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    const std::string path = node.directory / "app.sock";
    listen_at(path).reset();  // a stale one of an earlier run is no hindrance
    const Awaited<TaskExit> exited;
    const auto started = node.start("sleep 60", exited, publishing(path));
    INFO((started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(contains(record_of(node), "\"containerPath\":\"/alloc/inside.sock\""));
    const UniqueFd task = listen_at(node.directory / "alloc/alloc/inside.sock");
    CHECK(leads_to(task, path));
    CHECK(node.remove(started->container));
  }
}

// Its plugin may have been killed before the first call was answered.
TEST_CASE("a start that is asked for again is not refused over the task's own socket") {
  const bool watched = GENERATE(true, false);
  for (const std::string version : {"0.11.0", "1.2.2"}) {
    Node node{version};
    const std::string path = node.directory / "app.sock";
    const StartRequest request = node.request("sleep 60", publishing(path));
    const Awaited<TaskExit> exits[2];
    REQUIRE(node.begin_start(request, exits[0]).get(kLong));
    REQUIRE(answers(path));
    if (!watched) {
      node.kill_monitor();  // then nothing but the engine tells of the first call
      REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
    }
    node.restart();
    CHECK(check(node, request));
    const auto again = node.begin_start(request, exits[1]).get(kLong);
    INFO((again ? std::string{} : again.error().message()));
    REQUIRE(again);
    CHECK(node.calls("create") == 1);
    CHECK(answers(path));
    CHECK(!exits[1].is_set());
    CHECK(node.remove(again->container));
  }
}

TEST_CASE("an earlier attempt that listens at the task's socket makes way for the next one") {
  const bool watched = GENERATE(true, false);
  Node node;
  const std::string path = node.directory / "app.sock";
  const Awaited<TaskExit> exits[2];
  REQUIRE(node.start("sleep 60", exits[0], publishing(path)));
  if (!watched) {
    node.kill_monitor();
    REQUIRE(eventually([&] { return living_monitor(node.files()) == 0; }));
  }
  node.restart();
  node.spec->id = node.spec->alloc_id + "/main/9abcdef0";
  const StartRequest request = node.request("sleep 60", publishing(path));
  CHECK(check(node, request));
  const auto next = node.begin_start(request, exits[1]).get(kLong);
  INFO((next ? std::string{} : next.error().message()));
  REQUIRE(next);
  CHECK(node.calls("create") == 2);
  CHECK(answers(path));
  CHECK(node.remove(next->container));
}

TEST_CASE("a task that publishes a socket is started anew after each of its ends") {
  Node node;
  const std::string path = node.directory / "app.sock";
  for (const std::string attempt : {"1", "2", "3"}) {
    INFO(attempt);
    node.spec->id = node.spec->alloc_id + "/main/" + attempt;
    const StartRequest request = node.request("exit 3", publishing(path));
    CHECK(check(node, request));
    const Awaited<TaskExit> exited;
    const auto started = node.begin_start(request, exited).get(kLong);
    INFO((started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(exited.get(kLong).status == ExitStatus{Exited{3}});
    CHECK(node.remove(started->container));
    if (attempt == "2") listen_at(path).reset();  // as a machine that crashed leaves it
  }
}

TEST_CASE("what is at the path of a published socket is neither deleted nor taken over") {
  Node node;
  const std::string path = node.directory / "taken";
  const auto publish = publishing(path);
  const Awaited<TaskExit> never;
  { std::ofstream{path} << "precious"; }
  CHECK(!check(node, node.request("true", publish)));
  const auto over_file = node.start("true", never, publish);
  REQUIRE(!over_file);
  CHECK(contains(over_file.error().message(), "would delete"));
  CHECK(std::filesystem::file_size(path) == 8);
  std::filesystem::remove(path);
  const UniqueFd other = listen_at(path);
  const auto over_socket = node.start("true", never, publish);
  REQUIRE(!over_socket);
  CHECK(contains(over_socket.error().message(), "in use"));
  CHECK(answers(path));
  CHECK(node.calls("create") == 0);
}

TEST_CASE("the agent's socket is where the version puts it, and the task is told") {
  for (const std::string& version : kVersions) {
    Node node{version};
    const Agent agent{node.directory / "agent"};
    const std::string inside = version == "0.11.0" ? "/run/host-services/ssh-auth.sock"
                                                   : "/var/host-services/ssh-auth.sock";
    const Awaited<TaskExit> exited;
    const auto started = node.start("[ \"$SSH_AUTH_SOCK\" = " + inside + " ]", exited,
                                    [](TaskConfig& c) { c.ssh_agent = true; });
    INFO(version << (started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(exited.get(kLong).status == ExitStatus{Exited{0}});
    // From 0.12 on the CLI forwards what its own environment names.
    CHECK(contains(record_of(node), "\"ssh-auth-sock\":\"" + node.directory / "agent" + "\""));
    CHECK(contains(record_of(node), "\"ssh\":true"));
    CHECK(node.remove(started->container));
  }
}

TEST_CASE("Rosetta brings the platform with it, for the pull as well") {
  for (const std::string& version : kVersions) {
    Node node{version};
    PullRequest pull;
    pull.image = {"demo:1", "linux/amd64"};  // as the task's configuration is decoded
    pull.timeout = 20s;
    const Awaited<Expected<Image>> pulled;
    node.runtime->pull_image(pull, [pulled](Expected<Image> got) { pulled.set(std::move(got)); });
    REQUIRE(pulled.get(kLong));
    const Awaited<TaskExit> exited;
    const auto started = node.start("exit 4", exited, [](TaskConfig& c) { c.rosetta = true; });
    INFO(version << (started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(exited.get(kLong).status == ExitStatus{Exited{4}});
    CHECK(contains(record_of(node), "\"architecture\":\"amd64\""));
    CHECK(contains(record_of(node), "\"rosetta\":true"));
    CHECK(contains(text_of(node, "calls.jsonl"),
                   "\"pull\",\"--progress\",\"none\",\"--platform=linux/amd64\""));
    CHECK(node.remove(started->container));
  }
}
