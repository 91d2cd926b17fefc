// Starts that meet something: namesakes, what cannot run, images that are not there; and commands
// in a container.

#include <filesystem>
#include <fstream>

#include "podman_node.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::test {
namespace {

class ExecOutput final : public ExecClient {
 public:
  void output(OutputStream stream, std::string bytes, std::function<void()> taken) override {
    (stream == OutputStream::kStdout ? out : err) += bytes;
    taken();
  }
  void finished(Expected<ExitStatus> status) override { end.set(std::move(status)); }
  std::string out;
  std::string err;
  Awaited<Expected<ExitStatus>> end;
};

TEST_CASE("the same attempt asked for twice is one container") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task("sleep 60");
  const auto first = node.start(task);
  const auto again = node.start(task);
  CHECK(again.ref().id == first.ref().id);
  REQUIRE(node.stop(first.ref()).has_value());
  CHECK(first.exit.get(kPodmanDeadline).status == ExitStatus{Exited{137}});
  CHECK(again.exit.get(kPodmanDeadline).status == ExitStatus{Exited{137}});
}

// Says so in a file where one `podman run` begins before another one has ended.
std::string watched_podman(const TemporaryDirectory& directory) {
  const std::string path = directory / "podman";
  std::ofstream{path} << "#!/bin/sh\ncase \" $* \" in *' run '*) ;; *) exec podman \"$@\";; esac\n"
                      << "mkdir " << directory / "busy"
                      << " || : > " << directory / "both"
                      << "\npodman \"$@\"\ncode=$?\nrmdir " << directory / "busy"
                      << "\nexit $code\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST_CASE("the same attempt asked for again while it starts waits, and is one container, too") {
  const LeakCheck leaks;
  const TemporaryDirectory directory;
  PodmanNode node{watched_podman(directory)};
  const auto task = node.task("sleep 60");
  const auto first = node.begin_start(task);
  const auto again = node.begin_start(task);
  const auto started = first.get();
  const auto adopted = again.get();
  REQUIRE(started.has_value());
  INFO((adopted ? std::string{} : adopted.error().message()));
  REQUIRE(adopted.has_value());
  CHECK(adopted->ref().id == started->ref().id);
  CHECK_FALSE(std::filesystem::exists(directory / "both"));
  REQUIRE(node.stop(adopted->ref()).has_value());
  CHECK(first.exit.get(kPodmanDeadline).status == ExitStatus{Exited{137}});
  CHECK(again.exit.get(kPodmanDeadline).status == ExitStatus{Exited{137}});
}

// `podman run` does nothing until there is a file "go".
std::string patient_podman(const TemporaryDirectory& directory) {
  const std::string path = directory / "podman";
  std::ofstream{path} << "#!/bin/sh\ncase \" $* \" in *' run '*) until [ -e " << directory / "go"
                      << " ]; do sleep 0.05; done;; esac\nexec podman \"$@\"\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST_CASE("a start whose task was given up while it waited is not made, and nothing is left") {
  const LeakCheck leaks;
  const TemporaryDirectory directory;
  PodmanNode node{patient_podman(directory)};
  const auto task = node.task("sleep 60");
  const auto first = node.begin_start(task);
  const auto waiting = node.begin_start(task);
  node.runtime().disown(task.name());
  const auto refused = waiting.get();
  std::ofstream{directory / "go"}.flush();
  REQUIRE_FALSE(refused.has_value());
  CHECK(contains(refused.error().message(), "given up"));
  const auto started = first.get();
  REQUIRE(started.has_value());
  CHECK(node.remove_found(task).has_value());
  CHECK_FALSE(node.exists(task.name()));
  CHECK(first.exit.get(kPodmanDeadline).status != ExitStatus{Exited{0}});
  // Whoever asks for it afterwards has it.
  const auto next = node.start(task);
  CHECK(node.stop(next.ref()).has_value());
  CHECK(next.exit.get(kPodmanDeadline).status == ExitStatus{Exited{137}});
}

TEST_CASE("an earlier attempt's container makes way for the next") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task("sleep 60");
  const auto earlier = node.start(task);
  task.spec->id += "x";
  const auto next = node.start(task);
  CHECK(next.ref().id != earlier.ref().id);
  CHECK_FALSE(node.exists(earlier.ref().id));
  CHECK(node.exists(next.ref().id));
  CHECK_FALSE(next.exit.is_set());
}

TEST_CASE("what a podman that was killed left in its storage makes way for the start") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task("exit 3");
  node.store_only(task);
  const auto started = node.start(task);
  CHECK(started.exit.get(kPodmanDeadline).status == ExitStatus{Exited{3}});
}

TEST_CASE("what a podman that was killed left in its storage goes with the files of its start") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task("exit 3");
  node.store_only(task);
  node.make_files(task);
  REQUIRE(node.remove_found(task).has_value());
  CHECK_FALSE(node.is_stored(task));
  CHECK_FALSE(node.has_files(task));
}

TEST_CASE("a start whose podman is killed twice leaves nothing in its storage") {
  const LeakCheck leaks;
  const TemporaryDirectory directory;
  const std::string path = directory / "podman";
  PodmanNode node{path};
  const auto task = node.task("exit 3");
  std::ofstream{path} << "#!/bin/sh\ncase \" $* \" in\n*' run '*) kill -9 $$ ;;\n*' create '*)\n"
                         "  CONTAINERS_CONF="
                      << node.private_configuration()
                      << " podman create --pull=never --name=" << task.name() << " "
                      << variable("NDC_TEST_IMAGE")
                      << " true\n  kill -9 $$ ;;\nesac\nexec podman \"$@\"\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  const auto started = node.try_start(task);
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().recoverable());
  CHECK_FALSE(node.is_stored(task));
  CHECK_FALSE(node.has_files(task));
}

TEST_CASE(
    "a start whose podman is killed over a container that it has prepared may be tried again") {
  const LeakCheck leaks;
  const TemporaryDirectory directory;
  const std::string path = directory / "podman";
  PodmanNode node{path};
  const auto task = node.task("exit 3");
  std::ofstream{path} << "#!/bin/sh\ncase \" $* \" in *' run '*) ;; *) exec podman \"$@\";; esac\n"
                         "for word; do\n  shift\n  case $word in\n  run) set -- \"$@\" create ;;\n"
                         "  --detach) ;;\n  *) set -- \"$@\" \"$word\" ;;\n  esac\ndone\n"
                         "podman \"$@\" && podman init "
                      << task.name() << "\nkill -9 $$\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  const auto started = node.try_start(task);
  REQUIRE_FALSE(started.has_value());
  INFO(started.error().message());
  CHECK(started.error().recoverable());
  CHECK(contains(started.error().message(), "SIGKILL"));
  CHECK_FALSE(node.exists(task.name()));
  CHECK_FALSE(node.has_files(task));
}

TEST_CASE("a container that is not ours is left alone, and the start says whose turn it is") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto task = node.task("sleep 60");
  const std::string image = variable("NDC_TEST_IMAGE");
  REQUIRE(node.podman({"create", "--pull=never", "--name=" + task.name(), image, "true"}).status ==
          ExitStatus{Exited{0}});
  const auto started = node.try_start(task);
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().code == ErrorCode::kAlreadyExists);
  CHECK(contains(started.error().message(), "podman rm --force " + task.name()));
  CHECK(node.exists(task.name()));
  CHECK_FALSE(node.has_files(task));
}

TEST_CASE("what cannot be started says why and leaves nothing") {
  const LeakCheck leaks;
  PodmanNode node;
  auto task = node.task("");
  SECTION("a command that the image does not have") {
    task.config->command = "/no/such/command";
    const auto started = node.try_start(task);
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code == ErrorCode::kStartFailed);
    CHECK_FALSE(started.error().recoverable());
  }
  SECTION("a user that the image does not have") {
    task.config->user = "nobody-of-this-name";
    const auto started = node.try_start(task);
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code == ErrorCode::kStartFailed);
    CHECK(contains(started.error().message(), "user"));
  }
  SECTION("an image that is not there") {
    task.config->image = "localhost/ndc-no-such-image:1";
    const auto started = node.try_start(task);
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code == ErrorCode::kImageNotFound);
  }
  SECTION("a network that is not there") {
    task.config->network_mode = {NetworkMode::Kind::kNamed, "ndc-no-such-network"};
    const auto started = node.try_start(task);
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().code == ErrorCode::kInvalidConfig);
  }
  CHECK_FALSE(node.exists(task.name()));
  CHECK_FALSE(node.has_files(task));
}

TEST_CASE("a command runs in the container with its own streams, input and exit code") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto started = node.start(node.task("sleep 60"));
  const auto client = std::make_shared<ExecOutput>();
  ExecRequest request;
  request.command = {"/bin/sh", "-c", "read line; echo got $line; echo bad >&2; exit 9"};
  const auto session = node.call<std::shared_ptr<ExecSession>>(
      [&](auto done) { node.runtime().exec(started.ref(), request, client, done); });
  REQUIRE(session.has_value());
  const Awaited<bool> taken;
  (*session)->write("this\n", [taken] { taken.set(true); });
  taken.get();
  const auto end = client->end.get(kPodmanDeadline);
  REQUIRE(end.has_value());
  CHECK(*end == ExitStatus{Exited{9}});
  CHECK(client->out == "got this\n");
  CHECK(client->err == "bad\n");
}

TEST_CASE("a command that cannot run is an error or says so with its exit code") {
  const LeakCheck leaks;
  PodmanNode node;
  const auto started = node.start(node.task("exit 0"));
  started.exit.get(kPodmanDeadline);
  const auto exec = [&](std::vector<std::string> command) -> Expected<ExitStatus> {
    const auto client = std::make_shared<ExecOutput>();
    ExecRequest request;
    request.command = std::move(command);
    auto session = node.call<std::shared_ptr<ExecSession>>(
        [&](auto done) { node.runtime().exec(started.ref(), request, client, done); });
    if (!session) return fail(std::move(session.error()));
    return client->end.get(kPodmanDeadline);
  };
  CHECK(exec({}).error().code == ErrorCode::kInvalidConfig);
  CHECK(exec({""}).error().code == ErrorCode::kInvalidConfig);
  const auto late = exec({"true"});
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error().code == ErrorCode::kWrongState);
}

TEST_CASE("the node is healthy and says with what") {
  const LeakCheck leaks;
  PodmanNode node;
  const Awaited<Fingerprint> probed;
  node.runtime().probe([probed](Fingerprint got) { probed.set(std::move(got)); });
  const Fingerprint found = probed.get(kPodmanDeadline);
  CHECK(found.health == Health::kHealthy);
  CHECK(found.attributes.count("driver.container.runtime_version") == 1);
}

}  // namespace
}  // namespace ndc::test
