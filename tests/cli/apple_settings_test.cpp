// Settings that only machines have, seen in the stand-in's record and in the task.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
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

bool answers(const std::string& path) {
  const UniqueFd fd = make_socket();
  const sockaddr_un address = address_of(path);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
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
    const auto publish = [&](TaskConfig& c) {
      c.publish_sockets = {{path, "/alloc/inside.sock", {}}};
    };
    listen_at(path).reset();  // a stale one of an earlier run is no hindrance
    const Awaited<TaskExit> exited;
    const auto started = node.start("sleep 60", exited, publish);
    INFO((started ? std::string{} : started.error().message()));
    REQUIRE(started);
    CHECK(contains(record_of(node), "\"containerPath\":\"/alloc/inside.sock\""));
    CHECK(!answers(path));
    const UniqueFd task = listen_at(node.directory / "alloc/alloc/inside.sock");
    CHECK(answers(path));
    CHECK(node.remove(started->container));
  }
}

TEST_CASE("what is at the path of a published socket is neither deleted nor taken over") {
  Node node;
  const std::string path = node.directory / "taken";
  const auto publish = [&](TaskConfig& c) { c.publish_sockets = {{path, "/run/a.sock", {}}}; };
  const Awaited<TaskExit> never;
  { std::ofstream{path} << "precious"; }
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
