// What the tests over real containers share: a runtime with a state directory of its own, tasks
// with unique names, their output, and the removal of everything at the end.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "../runtime/machine.hpp"
#include "model/container_name.hpp"
#include "model/labels.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_runtime_linux.hpp"

namespace ndc::test {

inline constexpr std::chrono::seconds kPodmanDeadline{60};

inline std::string variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) FAIL(name << " is not set: export what scripts/test-image prints");
  return value;
}

// A task that has not been started. Its config may be changed until then.
struct PodmanTask {
  std::shared_ptr<TaskSpec> spec = std::make_shared<TaskSpec>();
  std::shared_ptr<TaskConfig> config = std::make_shared<TaskConfig>();
  std::string name() const { return container_name(spec->name, spec->alloc_id); }
};

// One end of a FIFO, read until nobody can write to it any more.
class Collector {
 public:
  explicit Collector(const std::string& path) : path_{path} {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    fd_ = runtime::UniqueFd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    REQUIRE(static_cast<bool>(fd_));
  }
  const std::string& path() const { return path_; }

  // Everything, once the last writer is gone.
  std::string all() { return read_until({}); }
  // What came so far, once it holds `part`.
  std::string until(const std::string& part) { return read_until(part); }

 private:
  std::string read_until(const std::string& part) {
    const auto deadline = std::chrono::steady_clock::now() + kPodmanDeadline;
    while (part.empty() || !contains(text_, part)) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      REQUIRE(left.count() > 0);
      pollfd waiting{fd_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) continue;
      char buffer[4096];
      const ssize_t count = ::read(fd_.get(), buffer, sizeof buffer);
      if (count == 0) break;
      if (count > 0) text_.append(buffer, static_cast<std::size_t>(count));
    }
    return text_;
  }

  std::string path_;
  runtime::UniqueFd fd_;
  std::string text_;
};

class PodmanNode {
 public:
  // `podman_path`: what the runtime takes for podman.
  explicit PodmanNode(const std::string& podman_path = {}) {
    config_.state_dir = directory_ / "state";
    config_.podman_path = podman_path;
    restart();
  }
  PodmanNode(const PodmanNode&) = delete;
  PodmanNode& operator=(const PodmanNode&) = delete;
  ~PodmanNode() {
    for (const std::string& name : names_) podman({"rm", "--force", "--ignore", "--time=0", name});
    routes_.clear();
    settle(*loop_);
    await_children();
    runtime_.reset();
    settle(*loop_);
  }

  // A runtime that knows nothing of what was before, as after a restart of the plugin.
  void restart() { runtime_ = std::make_shared<runtime::PodmanRuntime>(config_, loop_); }
  runtime::ContainerRuntime& runtime() { return *runtime_; }

  PodmanTask task(const std::string& script) {
    static std::atomic<int> last{0};
    PodmanTask out;
    char alloc[40];
    std::snprintf(
        alloc, sizeof alloc, "%08x-0000-0000-0000-%012x",
        static_cast<unsigned>(std::chrono::steady_clock::now().time_since_epoch().count()),
        static_cast<unsigned>(::getpid()));
    out.spec->alloc_id = alloc;
    out.spec->name = "pt" + std::to_string(::getpid()) + "-" + std::to_string(++last);
    out.spec->id = out.spec->alloc_id + "/" + out.spec->name + "/00000001";
    out.config->image = variable("NDC_TEST_IMAGE");
    out.config->command = "/bin/sh";
    out.config->args = {"-c", script};
    names_.push_back(out.name());
    return out;
  }

  struct Started {
    runtime::StartedContainer container;
    Awaited<TaskExit> exit;
    const ContainerRef& ref() const { return container.container; }
  };

  struct Starting {
    Awaited<Expected<runtime::StartedContainer>> done;
    Awaited<TaskExit> exit;
    Expected<Started> get() const {
      auto result = done.get(kPodmanDeadline);
      CHECK(done.times() == 1);
      if (!result) return fail(std::move(result.error()));
      return Started{std::move(*result), exit};
    }
  };

  Starting begin_start(const PodmanTask& task, const std::string& out = "/dev/null",
                       const std::string& err = "/dev/null") {
    auto route = runtime_->open_logs({out, err}, task.config->tty);
    REQUIRE(route.has_value());
    routes_.push_back(*route);
    runtime::StartRequest request;
    request.spec = task.spec;
    request.config = task.config;
    request.image = {task.config->image, "", std::nullopt};
    request.container_name = task.name();
    request.labels = driver_labels(*task.spec, {});
    request.logs = *route;
    const Starting starting;
    runtime_->start(
        std::move(request), [exit = starting.exit](TaskExit how) { exit.set(std::move(how)); },
        [done = starting.done](Expected<runtime::StartedContainer> result) {
          done.set(std::move(result));
        });
    return starting;
  }
  Expected<Started> try_start(const PodmanTask& task, const std::string& out = "/dev/null",
                              const std::string& err = "/dev/null") {
    return begin_start(task, out, err).get();
  }
  Started start(const PodmanTask& task, const std::string& out = "/dev/null",
                const std::string& err = "/dev/null") {
    auto started = try_start(task, out, err);
    if (!started) FAIL(started.error().message());
    return *started;
  }
  // Of the task that was started last.
  std::shared_ptr<runtime::LogRoute> route() const { return routes_.back(); }
  void finish_logs() {
    const Awaited<bool> drained;
    routes_.back()->finish([drained] { drained.set(true); });
    drained.get();
  }

  struct Found {
    Expected<runtime::Attached> attached;
    Awaited<TaskExit> exit;
  };
  Found attach(const ContainerRef& container) {
    const Awaited<Expected<runtime::Attached>> done;
    const Awaited<TaskExit> exit;
    runtime_->attach(
        container, [exit](TaskExit how) { exit.set(std::move(how)); },
        [done](Expected<runtime::Attached> result) { done.set(std::move(result)); });
    return {done.get(kPodmanDeadline), exit};
  }

  Expected<void> signal(const ContainerRef& container, int number) {
    return call<void>([&](auto done) { runtime_->signal(container, number, done); });
  }
  Expected<void> stop(const ContainerRef& container) {
    return call<void>([&](auto done) { runtime_->stop(container, done); });
  }
  Expected<void> remove(const ContainerRef& container, bool keep = false) {
    return call<void>([&](auto done) { runtime_->remove(container, keep, done); });
  }
  template <class T, class Call>
  Expected<T> call(Call&& begin) {
    const Awaited<Expected<T>> done;
    begin([done](Expected<T> result) { done.set(std::move(result)); });
    return done.get(kPodmanDeadline);
  }

  // What the reaper does with the task's container, or the files that are left of it.
  Expected<void> remove_found(const PodmanTask& task) {
    const auto all = call<std::vector<runtime::FoundContainer>>(
        [&](auto done) { runtime_->list_containers(done); });
    REQUIRE(all.has_value());
    const auto found = std::find_if(all->begin(), all->end(), [&task](const auto& entry) {
      return entry.container.name == task.name();
    });
    REQUIRE(found != all->end());
    return remove(found->container);
  }

  // podman itself, past the runtime.
  runtime::CommandResult podman(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "podman");
    return run(std::move(arguments));
  }
  runtime::CommandResult run(std::vector<std::string> arguments) {
    runtime::Command command;
    command.argv = std::move(arguments);
    command.environment = runtime::podman_cli_environment();
    command.timeout = kPodmanDeadline;
    const Awaited<Expected<runtime::CommandResult>> result;
    runtime::run_command(
        *loop_, std::move(command),
        [result](Expected<runtime::CommandResult> got) { result.set(std::move(got)); });
    auto got = result.get(kPodmanDeadline + kDeadline);
    REQUIRE(got.has_value());
    return *got;
  }
  // A containers.conf for a podman that has a database of its own: what it makes is in the storage,
  // and podman does not know it. So one leaves it that is killed while it makes a container.
  std::string private_configuration() {
    std::string config = "[engine]\n";
    if (const char* own = std::getenv("CONTAINERS_CONF")) {
      std::ifstream file{own};
      config.assign(std::istreambuf_iterator<char>{file}, {});
    }
    const std::string database = directory_ / "database";
    std::filesystem::create_directory(database);
    const std::size_t at = config.find("[engine]\n");
    REQUIRE(at != std::string::npos);
    config.insert(at + 9,
                  "static_dir = \"" + database + "\"\nvolume_path = \"" + database + "\"\n");
    const std::string path = directory_ / "containers.conf";
    std::ofstream{path} << config;
    return path;
  }
  void store_only(const PodmanTask& task) {
    const auto made =
        run({"env", "CONTAINERS_CONF=" + private_configuration(), "podman", "create",
             "--pull=never", "--name=" + task.name(), variable("NDC_TEST_IMAGE"), "true"});
    INFO(made.err);
    REQUIRE(made.status == ExitStatus{Exited{0}});
    REQUIRE(is_stored(task));
    REQUIRE_FALSE(exists(task.name()));
  }
  bool is_stored(const PodmanTask& task) {
    return contains(podman({"ps", "--all", "--external", "--format={{.Names}}"}).out, task.name());
  }
  bool exists(const std::string& container) {
    return podman({"container", "exists", container}).status == ExitStatus{Exited{0}};
  }
  std::string path(const std::string& name) const { return directory_ / name; }
  void make_files(const PodmanTask& task) {
    REQUIRE(
        runtime::PodmanFiles{config_.state_dir, task.name()}.make(driver_labels(*task.spec, {})));
  }
  bool has_files(const PodmanTask& task) const {
    return std::filesystem::exists(path("state/" + task.name()));
  }

 private:
  TemporaryDirectory directory_;
  PluginConfig config_;
  std::shared_ptr<runtime::EventLoop> loop_ = std::make_shared<runtime::EventLoop>();
  std::shared_ptr<runtime::PodmanRuntime> runtime_;
  std::vector<std::shared_ptr<runtime::LogRoute>> routes_;
  std::vector<std::string> names_;
};

}  // namespace ndc::test
