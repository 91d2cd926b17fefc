#include "embed/simulated_runtime.hpp"

#include <map>
#include <mutex>
#include <utility>

#include "model/labels.hpp"
#include "model/signals.hpp"
#include "runtime/event_loop.hpp"

namespace ndc::embed {
namespace {

constexpr int kDeathBySignal = 128;  // as shells and engines count

// Nothing flows, so there is nothing to copy and nothing to drain.
class SilentRoute final : public runtime::LogRoute {
 public:
  void follow(const ContainerRef&, std::function<void(Error)>) override {}
  void finish(std::function<void()> drained) override { drained(); }
};

struct Container {
  ContainerRef ref;
  std::map<std::string, std::string> labels;
  WallTime created_at{};
  std::optional<TaskExit> exit;
  std::vector<runtime::ExitSink> watchers;
};

bool is_fatal(int signal) { return signal == 2 || signal == 3 || signal == 9 || signal == 15; }

}  // namespace

struct SimulatedRuntime::Engine {
  mutable std::mutex mutex;
  std::map<std::string, Container> containers;  // by name
  int started = 0;
  runtime::EventLoop loop;  // last: its thread ends before what it uses

  template <class T>
  void answer(std::function<void(T)> done, T value) {
    loop.post([done = std::move(done), value = std::move(value)] { done(value); });
  }

  // The caller holds the mutex.
  bool end(Container& container, const TaskExit& exit) {
    if (container.exit) return false;
    container.exit = exit;
    for (auto& watcher : std::exchange(container.watchers, {})) {
      loop.post([watcher = std::move(watcher), exit] { watcher(exit); });
    }
    return true;
  }
};

SimulatedRuntime::SimulatedRuntime() : engine_{std::make_unique<Engine>()} {}
SimulatedRuntime::~SimulatedRuntime() = default;

bool SimulatedRuntime::end(const std::string& container_name, TaskExit exit) {
  const std::lock_guard lock{engine_->mutex};
  const auto found = engine_->containers.find(container_name);
  return found != engine_->containers.end() && engine_->end(found->second, exit);
}

std::vector<std::string> SimulatedRuntime::running() const {
  const std::lock_guard lock{engine_->mutex};
  std::vector<std::string> names;
  for (const auto& [name, container] : engine_->containers) {
    if (!container.exit) names.push_back(name);
  }
  return names;
}

std::vector<std::string> SimulatedRuntime::all() const {
  const std::lock_guard lock{engine_->mutex};
  std::vector<std::string> names;
  for (const auto& [name, container] : engine_->containers) names.push_back(name);
  return names;
}

void SimulatedRuntime::probe(std::function<void(Fingerprint)> done) {
  engine_->answer(std::move(done), Fingerprint{Health::kHealthy, "Healthy", {}});
}

void SimulatedRuntime::on_doubt(std::function<void()>) {}

void SimulatedRuntime::check(std::shared_ptr<const TaskSpec>, std::shared_ptr<const TaskConfig>,
                             runtime::Done<void> done) {
  engine_->answer(std::move(done), Expected<void>{});
}

void SimulatedRuntime::find_image(runtime::ImageQuery image,
                                  runtime::Done<std::optional<runtime::Image>> done) {
  engine_->answer(std::move(done), Expected<std::optional<runtime::Image>>{runtime::Image{
                                       image.reference, "simulated:" + image.reference, {}}});
}

void SimulatedRuntime::pull_image(runtime::PullRequest request,
                                  runtime::Done<runtime::Image> done) {
  const std::string& reference = request.image.reference;
  engine_->answer(std::move(done), Expected<runtime::Image>{
                                       runtime::Image{reference, "simulated:" + reference, {}}});
}

void SimulatedRuntime::load_image(runtime::LoadRequest request,
                                  runtime::Done<runtime::Image> done) {
  const std::string& reference = request.image.reference;
  engine_->answer(std::move(done), Expected<runtime::Image>{
                                       runtime::Image{reference, "simulated:" + reference, {}}});
}

void SimulatedRuntime::remove_image(std::string, runtime::Done<void> done) {
  engine_->answer(std::move(done), Expected<void>{});
}

void SimulatedRuntime::list_containers(runtime::Done<std::vector<runtime::FoundContainer>> done) {
  std::vector<runtime::FoundContainer> found;
  {
    const std::lock_guard lock{engine_->mutex};
    for (const auto& [name, container] : engine_->containers) {
      found.push_back({container.ref, container.labels, !container.exit, container.created_at});
    }
  }
  engine_->answer(std::move(done),
                  Expected<std::vector<runtime::FoundContainer>>{std::move(found)});
}

Expected<std::shared_ptr<runtime::LogRoute>> SimulatedRuntime::open_logs(const runtime::LogPaths&,
                                                                         bool) {
  return std::shared_ptr<runtime::LogRoute>{std::make_shared<SilentRoute>()};
}

void SimulatedRuntime::start(runtime::StartRequest request, runtime::ExitSink exited,
                             runtime::Done<runtime::StartedContainer> done) {
  const std::lock_guard lock{engine_->mutex};
  auto [it, is_new] = engine_->containers.try_emplace(request.container_name);
  Container& container = it->second;
  const bool same_task = !is_new && container.labels[kLabelTaskId] == request.labels[kLabelTaskId];
  if (!same_task) {  // one of the same task is adopted, also where it has ended by now
    container = {};
    container.ref = {request.container_name, "simulated-" + std::to_string(++engine_->started), {}};
    container.labels = std::move(request.labels);
    container.created_at = std::chrono::system_clock::now();
  }
  runtime::StartedContainer started;
  started.container = container.ref;
  started.started_at = container.created_at;
  engine_->answer(std::move(done), Expected<runtime::StartedContainer>{std::move(started)});
  if (!container.exit) {
    container.watchers.push_back(std::move(exited));
    return;
  }
  engine_->loop.post([exited = std::move(exited), exit = *container.exit] { exited(exit); });
}

void SimulatedRuntime::attach(ContainerRef container, runtime::ExitSink exited,
                              runtime::Done<runtime::Attached> done) {
  using Answer = Expected<runtime::Attached>;
  const std::lock_guard lock{engine_->mutex};
  const auto found = engine_->containers.find(container.name);
  if (found == engine_->containers.end() || found->second.ref.id != container.id) {
    engine_->answer(std::move(done), Answer{fail({.code = ErrorCode::kContainerGone,
                                                  .what = "find container",
                                                  .on = container.name,
                                                  .cause = "no such container"})});
  } else if (found->second.exit) {
    engine_->answer(std::move(done), Answer{*found->second.exit});
  } else {
    found->second.watchers.push_back(std::move(exited));
    engine_->answer(std::move(done), Answer{runtime::StillRunning{}});
  }
}

void SimulatedRuntime::signal(ContainerRef container, int signal, runtime::Done<void> done) {
  if (is_fatal(signal)) {
    end(container.name, {Exited{kDeathBySignal + signal}, false, std::chrono::system_clock::now()});
  }
  engine_->answer(std::move(done), Expected<void>{});
}

void SimulatedRuntime::stop(ContainerRef container, runtime::Done<void> done) {
  signal(std::move(container), kSigKill, std::move(done));
}

void SimulatedRuntime::remove(ContainerRef container, bool keep_container,
                              runtime::Done<void> done) {
  end(container.name, {Exited{kDeathBySignal + kSigKill}, false, std::chrono::system_clock::now()});
  if (!keep_container) {
    const std::lock_guard lock{engine_->mutex};
    engine_->containers.erase(container.name);
  }
  engine_->answer(std::move(done), Expected<void>{});
}

void SimulatedRuntime::sample(std::vector<ContainerRef> containers,
                              std::function<void(std::vector<runtime::UsageReading>)> done) {
  std::vector<runtime::UsageReading> readings;
  for (const ContainerRef& container : containers) {
    UsageSample sample;
    sample.taken = std::chrono::steady_clock::now();
    sample.cpu_total = std::chrono::nanoseconds{0};
    readings.push_back({container, sample});
  }
  engine_->answer(std::move(done), std::move(readings));
}

void SimulatedRuntime::exec(ContainerRef container, ExecRequest, std::shared_ptr<ExecClient>,
                            runtime::Done<std::shared_ptr<ExecSession>> done) {
  engine_->answer(std::move(done), Expected<std::shared_ptr<ExecSession>>{
                                       fail({.code = ErrorCode::kUnsupported,
                                             .what = "exec in container",
                                             .on = container.name,
                                             .cause = "a simulated container has no processes"})});
}

}  // namespace ndc::embed
