// Random faults between the actors, while a few tasks are started, stopped and destroyed over an
// engine that does what it is asked. Each run follows from its seed, which a failure prints.

#include <algorithm>
#include <map>
#include <random>

#include <spdlog/spdlog.h>

#include "actors/fixture.hpp"
#include "model/labels.hpp"
#include "model/signals.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kSeeds = 150;
// A helper that failed too often is away for a minute; nothing else takes long. Less than the time
// after which a task's end no longer waits for its logs.
constexpr int kSecondsToAnswer = 300;

constexpr int kTerminated = 128 + kSigTerm;
constexpr int kKilled = 128 + kSigKill;

class Engine final : public runtime::ContainerRuntime {
 public:
  struct Container {
    ContainerRef ref;
    std::map<std::string, std::string> labels;
    std::optional<TaskExit> exit;
    std::vector<runtime::ExitSink> watchers;
  };
  std::map<std::string, Container> containers;  // by name
  std::map<std::string, int> created;           // by task id
  std::map<std::string, int> ended;             // exit codes by task id

  void end_task(const std::string& id, int code) {
    for (auto& [name, container] : containers) {
      if (container.labels[kLabelTaskId] == id) end(container, code);
    }
  }

  std::string_view name() const override { return "random"; }
  void probe(std::function<void(Fingerprint)> done) override {
    done({Health::kHealthy, "Healthy", {}});
  }
  void on_doubt(std::function<void()>) override {}
  void check(std::shared_ptr<const TaskSpec>, std::shared_ptr<const TaskConfig>,
             runtime::Done<void> done) override {
    done({});
  }
  void find_image(runtime::ImageQuery image,
                  runtime::Done<std::optional<runtime::Image>> done) override {
    done(std::optional{runtime::Image{image.reference, "sha256:1", {}}});
  }
  void pull_image(runtime::PullRequest, runtime::Done<runtime::Image> done) override {
    done(refused());
  }
  void load_image(runtime::LoadRequest, runtime::Done<runtime::Image> done) override {
    done(refused());
  }
  void remove_image(std::string, runtime::Done<void> done) override { done({}); }
  void list_containers(runtime::Done<std::vector<runtime::FoundContainer>> done) override {
    std::vector<runtime::FoundContainer> found;
    const auto long_ago = std::chrono::system_clock::now() - 1h;
    for (const auto& [name, container] : containers) {
      found.push_back({container.ref, container.labels, !container.exit, long_ago});
    }
    done(std::move(found));
  }
  Expected<std::shared_ptr<runtime::LogRoute>> open_logs(const runtime::LogPaths&, bool) override {
    struct Route final : runtime::LogRoute {
      void follow(const ContainerRef&, std::function<void(Error)>) override {}
      void finish(std::function<void()> drained) override { drained(); }
    };
    return std::shared_ptr<runtime::LogRoute>{std::make_shared<Route>()};
  }
  void start(runtime::StartRequest request, runtime::ExitSink exited,
             runtime::Done<runtime::StartedContainer> done) override {
    auto [it, is_new] = containers.try_emplace(request.container_name);
    Container& container = it->second;
    if (is_new) {  // else a crashed actor has started it
      container.ref = {request.container_name, "id", {}};
      container.labels = request.labels;
      ++created[request.labels[kLabelTaskId]];
    }
    runtime::StartedContainer started;
    started.container = container.ref;
    done(started);
    watch(container, std::move(exited));
  }
  void attach(ContainerRef ref, runtime::ExitSink exited,
              runtime::Done<runtime::Attached> done) override {
    const auto it = containers.find(ref.name);
    if (it == containers.end()) {
      done(fail({.code = ErrorCode::kContainerGone, .what = "find container"}));
    } else if (it->second.exit) {
      done(*it->second.exit);
    } else {
      done(runtime::StillRunning{});
      watch(it->second, std::move(exited));
    }
  }
  void signal(ContainerRef ref, int number, runtime::Done<void> done) override {
    const auto it = containers.find(ref.name);
    // The deaf one heeds only SIGKILL.
    const bool heeds = number == kSigKill || ref.name.find("deaf") == std::string::npos;
    if (it != containers.end() && heeds) end(it->second, 128 + number);
    done({});
  }
  void stop(ContainerRef ref, runtime::Done<void> done) override {
    signal(std::move(ref), kSigKill, std::move(done));
  }
  void remove(ContainerRef ref, bool, runtime::Done<void> done) override {
    const auto it = containers.find(ref.name);
    if (it != containers.end()) {
      end(it->second, kKilled);
      containers.erase(it);
    }
    done({});
  }
  void sample(std::vector<ContainerRef>,
              std::function<void(std::vector<runtime::UsageReading>)> done) override {
    done({});
  }
  void exec(ContainerRef, ExecRequest, std::shared_ptr<ExecClient>,
            runtime::Done<std::shared_ptr<ExecSession>> done) override {
    done(refused());
  }

 private:
  static tl::unexpected<Error> refused() {
    return fail({.code = ErrorCode::kUnsupported, .what = "do that"});
  }
  static void watch(Container& container, runtime::ExitSink exited) {
    if (container.exit) {
      exited(*container.exit);
    } else {
      container.watchers.push_back(std::move(exited));
    }
  }
  void end(Container& container, int code) {
    if (container.exit) return;
    container.exit = TaskExit{Exited{code}, false, {}};
    ended[container.labels[kLabelTaskId]] = code;
    for (const auto& exited : std::exchange(container.watchers, {})) exited(*container.exit);
  }
};

// What a client does with a task, one step after the other.
struct Task {
  enum class Step { kNew, kStarting, kRunning, kEnding, kDone };
  TaskSpec spec;
  int code = 0;  // with which it ends by itself
  Step step = Step::kNew;
  bool killed = false;  // the client has asked for that
  Answer<Expected<actors::TaskStarted>> started;
  Answer<Expected<TaskExit>> waited;
  std::optional<Answer<Expected<void>>> stopped;
  std::optional<Answer<Expected<void>>> destroyed;

  bool runs() const { return !started.dropped() && started.value().has_value(); }
};

struct Run : Fixture {
  explicit Run(unsigned seed) : random{seed} {
    faults = std::make_shared<runtime::FaultyRuntime>(engine);
    Answer<Expected<void>> configured;
    act::tell(driver, actors::SetConfig{{}, {}, configured.reply()});
    kit.run();
    for (const char* name : {"one", "two", "deaf"}) {
      Task& task = tasks.emplace_back();
      task.spec = spec(name);
      task.spec.node_id = "node";
      task.code = static_cast<int>(tasks.size());
    }
  }

  std::mt19937 random;
  std::shared_ptr<Engine> engine = std::make_shared<Engine>();
  std::vector<Task> tasks;

  bool one_in(unsigned n) { return random() % n == 0; }
  std::string pick(const std::vector<const char*>& from) { return from[random() % from.size()]; }

  void strike() {
    // Not the driver's: when it fails the plugin ends. Nor are messages lost between living actors,
    // except where a lost one is expected.
    const std::string actor =
        pick({"task_actor", "task_actor", "log_forwarder_actor", "stats_actor", "image_actor",
              "reaper_actor", "event_actor", "stats_sampler_actor", "fingerprint_actor"});
    switch (random() % 4) {
      case 0:
        REQUIRE(messages->crash(actor));
        return;
      case 1:
        REQUIRE(messages->crash_on({actor, "", ""}));
        return;
      case 2:
        REQUIRE(messages->drop({"image_actor", "", "EnsureImage"}));
        return;
      default:
        // What the engine and a task's children report may come at any time.
        REQUIRE(messages->delay({"", "",
                                 pick({"JobChecked", "ImageFound", "ImageReady", "LogsOpened",
                                       "ContainerStarted", "ContainerAttached", "ContainerExited",
                                       "LogsDrained", "ContainerRemoved", "ContainersListed"})},
                                std::chrono::milliseconds{1 + random() % 3000}));
    }
  }

  void go_on(Task& task) {
    using Step = Task::Step;
    const std::string& id = task.spec.id;
    switch (task.step) {
      case Step::kNew:
        act::tell(driver, actors::StartTask{std::make_shared<const TaskSpec>(task.spec),
                                            task.started.reply()});
        task.step = Step::kStarting;
        return;
      case Step::kStarting:
        if (!task.started.arrived()) return;
        task.step = task.runs() ? Step::kRunning : Step::kDone;
        if (task.runs()) act::tell(driver, actors::WaitTask{id, task.waited.reply()});
        return;
      case Step::kRunning:
        task.step = Step::kEnding;
        switch (random() % 3) {
          case 0:
            engine->end_task(id, task.code);
            return;
          case 1:
            task.killed = true;
            act::tell(driver, actors::StopTask{id, 3s, "", task.stopped.emplace().reply()});
            return;
          default:
            return destroy(task);
        }
      case Step::kEnding:
        if (task.waited.arrived() || (task.stopped && task.stopped->arrived())) destroy(task);
        return;
      case Step::kDone:
        return;
    }
  }

  // Once, as Nomad does.
  void destroy(Task& task) {
    if (!task.waited.arrived()) task.killed = true;
    act::tell(driver, actors::DestroyTask{task.spec.id, true, task.destroyed.emplace().reply()});
    task.step = Task::Step::kDone;
  }

  bool is_answered(const Task& task) const {
    return task.step == Task::Step::kDone && (!task.runs() || task.waited.arrived()) &&
           (!task.stopped || task.stopped->arrived()) &&
           (!task.destroyed || task.destroyed->arrived());
  }
  bool all_answered() const {
    return std::all_of(tasks.begin(), tasks.end(),
                       [this](const Task& task) { return is_answered(task); });
  }

  void play() {
    for (int i = 0; i < 100; ++i) {
      if (one_in(15)) strike();
      for (Task& task : tasks) {
        if (one_in(6)) go_on(task);
      }
      kit.advance(200ms, 200ms);
    }
    messages->clear();
    for (int second = 0; second < kSecondsToAnswer && !all_answered(); ++second) {
      for (Task& task : tasks) go_on(task);
      kit.advance(1s, 1s);
    }
  }

  // An exit is the container's own, for which there was a reason, or it is unknown.
  void check_exit(const Task& task) const {
    REQUIRE_FALSE(task.waited.dropped());
    REQUIRE(task.waited.value().has_value());
    const TaskExit& exit = *task.waited.value();
    if (const auto* exited = std::get_if<Exited>(&exit.status)) {
      REQUIRE(engine->ended.contains(task.spec.id));
      CHECK(exited->code == engine->ended.at(task.spec.id));
      const bool by_force = exited->code == kTerminated || exited->code == kKilled;
      CHECK((by_force ? task.killed : exited->code == task.code));
    } else {
      CHECK(describe(exit).find("failed too often") != std::string::npos);
    }
  }
};

struct Quiet {
  Quiet() { spdlog::set_level(spdlog::level::off); }
  ~Quiet() { spdlog::set_level(before); }
  spdlog::level::level_enum before = spdlog::get_level();
};

TEST_CASE("whatever fails between the actors, calls are answered and nothing is left behind") {
  const Quiet quiet;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    INFO("seed " << seed);
    Run run{seed};
    run.play();
    for (const Task& task : run.tasks) {
      INFO("task " << task.spec.id);
      REQUIRE(run.is_answered(task));
      if (task.runs()) run.check_exit(task);
      CHECK(run.engine->created[task.spec.id] <= 1);
    }
    // What was given up during a start waits for the reaper's next round, or for the one after it.
    for (int minute = 0; minute < 12 && !run.engine->containers.empty(); ++minute) {
      run.kit.advance(1min, 10s);
    }
    CHECK(run.engine->containers.empty());
  }
}

}  // namespace
}  // namespace ndc::test
