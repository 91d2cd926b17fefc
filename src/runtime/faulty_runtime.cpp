#include "runtime/faulty_runtime.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ndc::runtime {
namespace {

enum class Kind { kFail, kHang, kHangAfter, kRaise };

struct Fault {
  Calls which;
  Kind kind;
  Error error;
};

[[noreturn]] void raise_injected() { throw std::runtime_error{"injected failure"}; }

}  // namespace

struct FaultyRuntime::Faults {
  mutable std::mutex mutex;
  std::vector<Fault> pending;
  std::vector<std::function<void()>> kept;
  int struck = 0;

  void add(Calls which, Kind kind, Error error = {}) {
    const std::lock_guard lock{mutex};
    if (which.times > 0) pending.push_back({std::move(which), kind, std::move(error)});
  }

  std::optional<Fault> strike(Call call, const std::string& about) {
    const std::lock_guard lock{mutex};
    const auto found = std::find_if(pending.begin(), pending.end(), [&](const Fault& fault) {
      return fault.which.call == call && about.find(fault.which.about) != std::string::npos;
    });
    if (found == pending.end()) return std::nullopt;
    Fault fault = *found;
    ++struck;
    if (found->which.times != Calls::kAlways && --found->which.times == 0) pending.erase(found);
    return fault;
  }

  void keep(std::function<void()> step) {
    const std::lock_guard lock{mutex};
    kept.push_back(std::move(step));
  }
};

FaultyRuntime::FaultyRuntime(std::shared_ptr<ContainerRuntime> inner)
    : inner_{std::move(inner)}, faults_{std::make_shared<Faults>()} {}

// What hangs holds the caller's handles.
FaultyRuntime::~FaultyRuntime() {
  std::vector<std::function<void()>> dropped;
  const std::lock_guard lock{faults_->mutex};
  dropped.swap(faults_->kept);
}

void FaultyRuntime::fail(Calls which, Error error) {
  faults_->add(std::move(which), Kind::kFail, std::move(error));
}
void FaultyRuntime::hang(Calls which) { faults_->add(std::move(which), Kind::kHang); }
void FaultyRuntime::hang_after(Calls which) { faults_->add(std::move(which), Kind::kHangAfter); }
void FaultyRuntime::raise(Calls which) { faults_->add(std::move(which), Kind::kRaise); }

std::size_t FaultyRuntime::release() {
  std::vector<std::function<void()>> steps;
  {
    const std::lock_guard lock{faults_->mutex};
    steps.swap(faults_->kept);
  }
  for (const auto& step : steps) step();
  return steps.size();
}

std::size_t FaultyRuntime::hanging() const {
  const std::lock_guard lock{faults_->mutex};
  return faults_->kept.size();
}

int FaultyRuntime::struck() const {
  const std::lock_guard lock{faults_->mutex};
  return faults_->struck;
}

void FaultyRuntime::clear() {
  const std::lock_guard lock{faults_->mutex};
  faults_->pending.clear();
}

template <class Answer, class Run, class Refuse>
void FaultyRuntime::pass(Call call, const std::string& about, std::function<void(Answer)> done,
                         Run run, Refuse refuse) {
  const auto fault = faults_->strike(call, about);
  if (!fault) return run(std::move(done));
  switch (fault->kind) {
    case Kind::kFail:
      return done(refuse(fault->error));
    case Kind::kHang:
      return faults_->keep([run, done] { run(done); });
    case Kind::kHangAfter:
      return run([faults = faults_, done](Answer answer) {
        faults->keep([done, answer = std::move(answer)] { done(answer); });
      });
    case Kind::kRaise:
      raise_injected();
  }
}

template <class T, class Run>
void FaultyRuntime::pass(Call call, const std::string& about, Done<T> done, Run run) {
  pass<Expected<T>>(call, about, std::move(done), std::move(run),
                    [](const Error& error) -> Expected<T> { return ndc::fail(error); });
}

std::string_view FaultyRuntime::name() const { return inner_->name(); }

void FaultyRuntime::on_doubt(std::function<void()> doubt) { inner_->on_doubt(std::move(doubt)); }

void FaultyRuntime::on_call(CallSink sink) { inner_->on_call(std::move(sink)); }

void FaultyRuntime::probe(std::function<void(Fingerprint)> done) {
  pass<Fingerprint>(
      Call::kProbe, {}, std::move(done), [inner = inner_](auto then) { inner->probe(then); },
      [](const Error& error) {
        return Fingerprint{Health::kUnhealthy, error.message(), {}};
      });
}

void FaultyRuntime::check(std::shared_ptr<const TaskSpec> spec,
                          std::shared_ptr<const TaskConfig> config, Done<void> done) {
  pass<void>(Call::kCheck, spec->name, std::move(done),
             [inner = inner_, spec, config](auto then) { inner->check(spec, config, then); });
}

void FaultyRuntime::find_image(ImageQuery image, Done<std::optional<Image>> done) {
  pass<std::optional<Image>>(
      Call::kFindImage, image.reference, std::move(done),
      [inner = inner_, image](auto then) { inner->find_image(image, then); });
}

void FaultyRuntime::pull_image(PullRequest request, Done<Image> done) {
  pass<Image>(Call::kPullImage, request.image.reference, std::move(done),
              [inner = inner_, request](auto then) { inner->pull_image(request, then); });
}

void FaultyRuntime::load_image(LoadRequest request, Done<Image> done) {
  pass<Image>(Call::kLoadImage, request.archive, std::move(done),
              [inner = inner_, request](auto then) { inner->load_image(request, then); });
}

void FaultyRuntime::remove_image(std::string reference, Done<void> done) {
  pass<void>(Call::kRemoveImage, reference, std::move(done),
             [inner = inner_, reference](auto then) { inner->remove_image(reference, then); });
}

void FaultyRuntime::list_containers(Done<std::vector<FoundContainer>> done) {
  pass<std::vector<FoundContainer>>(Call::kListContainers, {}, std::move(done),
                                    [inner = inner_](auto then) { inner->list_containers(then); });
}

Expected<std::shared_ptr<LogRoute>> FaultyRuntime::open_logs(const LogPaths& paths, bool tty) {
  const auto fault = faults_->strike(Call::kOpenLogs, paths.stdout_path);
  if (!fault) return inner_->open_logs(paths, tty);
  if (fault->kind == Kind::kRaise) raise_injected();
  if (fault->kind == Kind::kFail) return ndc::fail(fault->error);
  return ndc::fail({.code = ErrorCode::kTimeout, .what = "open logs", .on = paths.stdout_path});
}

void FaultyRuntime::start(StartRequest request, ExitSink exited, Done<StartedContainer> done) {
  pass<StartedContainer>(
      Call::kStart, request.container_name, std::move(done),
      [inner = inner_, request, exited](auto then) { inner->start(request, exited, then); });
}

void FaultyRuntime::attach(ContainerRef container, ExitSink exited, Done<Attached> done) {
  pass<Attached>(
      Call::kAttach, container.name, std::move(done),
      [inner = inner_, container, exited](auto then) { inner->attach(container, exited, then); });
}

void FaultyRuntime::signal(ContainerRef container, int signal, Done<void> done) {
  pass<void>(
      Call::kSignal, container.name, std::move(done),
      [inner = inner_, container, signal](auto then) { inner->signal(container, signal, then); });
}

void FaultyRuntime::stop(ContainerRef container, Done<void> done) {
  pass<void>(Call::kStop, container.name, std::move(done),
             [inner = inner_, container](auto then) { inner->stop(container, then); });
}

void FaultyRuntime::remove(ContainerRef container, bool keep_container, Done<void> done) {
  pass<void>(Call::kRemove, container.name, std::move(done),
             [inner = inner_, container, keep_container](auto then) {
               inner->remove(container, keep_container, then);
             });
}

void FaultyRuntime::sample(std::vector<ContainerRef> containers,
                           std::function<void(std::vector<UsageReading>)> done) {
  std::string names;
  for (const ContainerRef& container : containers) names += container.name + " ";
  pass<std::vector<UsageReading>>(
      Call::kSample, names, std::move(done),
      [inner = inner_, containers](auto then) { inner->sample(containers, then); },
      [containers](const Error& error) {
        std::vector<UsageReading> readings;
        readings.reserve(containers.size());
        for (const ContainerRef& container : containers) {
          readings.push_back({container, ndc::fail(error)});
        }
        return readings;
      });
}

void FaultyRuntime::exec(ContainerRef container, ExecRequest request,
                         std::shared_ptr<ExecClient> client,
                         Done<std::shared_ptr<ExecSession>> done) {
  pass<std::shared_ptr<ExecSession>>(Call::kExec, container.name, std::move(done),
                                     [inner = inner_, container, request, client](auto then) {
                                       inner->exec(container, request, client, then);
                                     });
}

}  // namespace ndc::runtime
