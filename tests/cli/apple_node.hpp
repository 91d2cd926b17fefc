// A node for tests of the adapter: the stand-in with a state directory of its own, and one task.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "runtime/machine.hpp"
#include "runtime/make_apple.hpp"
#include "runtime/monitor_files.hpp"
#include "support/places.hpp"

namespace ndc::test {

using namespace std::chrono_literals;
using namespace ndc::runtime;

inline constexpr auto kLong = 40s;

struct Node {
  LeakCheck leaks;
  TemporaryDirectory directory;
  std::string login_dir = directory / "user/logins";  // of this Mac's user, for all plugins
  std::shared_ptr<EventLoop> loop = std::make_shared<EventLoop>();
  PluginConfig config;
  std::shared_ptr<ContainerRuntime> runtime;
  std::shared_ptr<TaskSpec> spec = std::make_shared<TaskSpec>();
  std::string id = "nomad-main-0a1b2c3d";
  std::string network = "nomad-0a1b2c3d-0000-0000-0000-000000000000";

  explicit Node(const std::string& version = "1.2.2", const std::string& more = {}) {
    std::filesystem::create_symlink(places::standin, directory / "container");
    std::ofstream{directory / "standin.env"} << "NDC_STANDIN_STATE=" << directory / "cli"
                                             << "\nNDC_STANDIN_VERSION=" << version
                                             << "\nNDC_STANDIN_STATS_MS=10\n"
                                             << more;
    config.container_path = directory / "container";
    config.state_dir = directory / "state";
    config.command_timeout = 10s;
    std::filesystem::create_directories(directory / "cli/faults/state");
    for (const char* path : {"alloc/alloc", "alloc/main/local", "alloc/main/secrets",
                             "alloc/side/local", "alloc/side/secrets"}) {
      std::filesystem::create_directories(directory / path);
    }
    spec->name = "main";
    spec->alloc_id = "0a1b2c3d-0000-0000-0000-000000000000";
    spec->id = spec->alloc_id + "/main/12345678";
    spec->alloc_dir = directory / "alloc";
    spec->stdout_path = spec->stderr_path = "/dev/null";
    restart();
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node() {
    runtime.reset();
    CHECK(rejected().empty());  // always a mistake, ours or the test's
    fault("all", "");
    std::string command = "exec 2>/dev/null; cd " + directory / "" +
                          "; rm -f cli/faults/*; for c in cli/containers/*; do [ -d \"$c\" ] && "
                          "./container delete --force \"${c##*/}\"; done; true";
    (void)run(*loop, shell(command));
    if (const pid_t pid = living_monitor(files()); pid > 0) ::kill(pid, SIGKILL);
    await_children();
    settle(*loop);
  }

  // As after a plugin restart.
  void restart() {
    runtime.reset();
    runtime = *make_apple(config, loop, places::test_monitor, 0s, login_dir);
  }
  std::string files() const { return config.state_dir + "/" + id; }
  // Never another process: kill() takes a number below 1 for many.
  void kill_monitor() const {
    const pid_t monitor = living_monitor(files());
    REQUIRE(monitor > 0);
    REQUIRE(::kill(monitor, SIGKILL) == 0);
  }
  void fault(const std::string& name, const std::string& line) const {
    const std::string path = directory / ("cli/faults/" + name);
    if (line.empty()) {
      std::filesystem::remove(path);
    } else {
      std::ofstream{path, std::ios::trunc} << line << "\n";
    }
  }

  StartRequest request(const std::string& script,
                       const std::function<void(TaskConfig&)>& change = {}) const {
    auto task = std::make_shared<TaskConfig>();
    task->image = "demo:1";
    task->command = "/bin/sh";
    task->args = {"-c", script};
    if (change) change(*task);
    StartRequest request;
    request.spec = spec;
    request.config = task;
    request.image = {"demo:1", "sha256:0", std::nullopt};
    request.container_name = id;
    request.labels = {{"nomad.task_id", spec->id}, {"nomad.alloc_id", spec->alloc_id}};
    return request;
  }
  using Starting = Awaited<Expected<StartedContainer>>;
  Starting begin_start(const StartRequest& request, const Awaited<TaskExit>& exited) const {
    const Starting started;
    runtime->start(
        request, [exited](TaskExit exit) { exited.set(std::move(exit)); },
        [started](Expected<StartedContainer> result) { started.set(std::move(result)); });
    return started;
  }
  Expected<StartedContainer> start(const std::string& script, const Awaited<TaskExit>& exited,
                                   const std::function<void(TaskConfig&)>& change = {}) const {
    return begin_start(request(script, change), exited).get(kLong);
  }
  using Attaching = Awaited<Expected<Attached>>;
  Attaching begin_attach(const ContainerRef& container, const Awaited<TaskExit>& exited) const {
    const Attaching attached;
    runtime->attach(
        container, [exited](TaskExit exit) { exited.set(std::move(exit)); },
        [attached](Expected<Attached> result) { attached.set(std::move(result)); });
    return attached;
  }
  Expected<Attached> attach(const ContainerRef& container, const Awaited<TaskExit>& exited) const {
    return begin_attach(container, exited).get(kLong);
  }
  Expected<void> call(const std::function<void(Done<void>)>& make) const {
    const Awaited<std::optional<Expected<void>>> result;
    make([result](Expected<void> got) { result.set(std::optional{std::move(got)}); });
    return *result.get(kLong);
  }
  Expected<void> remove(const ContainerRef& container) const {
    return call([&](Done<void> done) { runtime->remove(container, false, std::move(done)); });
  }
  // The CLI, as an operator would call it; what it says.
  std::string ask(const std::string& words) const {
    return run(*loop, shell(directory / "container" + " " + words + " 2>&1; true"))->out;
  }
  std::string networks() const { return ask("network list --quiet"); }
  Fingerprint probe() const {
    const Awaited<Fingerprint> result;
    runtime->probe([result](Fingerprint got) { result.set(std::move(got)); });
    return result.get(kLong);
  }
  int calls(const std::string& command) const {
    const std::string text = recorded("calls.jsonl");
    int count = 0;
    const std::string word = "\"command\":\"" + command + "\"";
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) ++count;
    return count;
  }
  // The argvs that the CLI did not understand.
  std::string rejected() const { return recorded("rejected.jsonl"); }
  std::string recorded(const std::string& name) const {
    const std::ifstream file{directory / ("cli/" + name)};
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
};

// What the reaper sees.
inline std::vector<FoundContainer> found_on(const Node& node) {
  const Awaited<Expected<std::vector<FoundContainer>>> listed;
  node.runtime->list_containers(
      [listed](Expected<std::vector<FoundContainer>> found) { listed.set(std::move(found)); });
  const auto found = listed.get(kLong);
  REQUIRE(found);
  return *found;
}

}  // namespace ndc::test
