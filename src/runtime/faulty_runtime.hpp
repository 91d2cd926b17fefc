// Faults at the runtime: wraps any ContainerRuntime and lets chosen calls fail, hang, answer late
// or throw. For tests and embedding programs. A call that no fault strikes goes straight through.
//
// Faults are set from any thread. A call that fails is answered from within itself, so that a test
// in virtual time sees it at once.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <string>

#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

// The methods of ContainerRuntime that may be struck.
enum class Call {
  kProbe,
  kCheck,
  kFindImage,
  kPullImage,
  kLoadImage,
  kRemoveImage,
  kListContainers,
  kOpenLogs,
  kStart,
  kAttach,
  kSignal,
  kStop,
  kRemove,
  kSample,
  kExec,
};

// Which calls a fault strikes: the next `times` of this method whose subject (the container's name,
// the task's for kCheck, the image's reference, the archive, the path of stdout) holds `about`.
struct Calls {
  static constexpr int kAlways = std::numeric_limits<int>::max();
  Call call;
  std::string about = {};  // empty: all
  int times = 1;
};

class FaultyRuntime final : public ContainerRuntime {
 public:
  explicit FaultyRuntime(std::shared_ptr<ContainerRuntime> inner);
  ~FaultyRuntime() override;

  // The call does nothing and is answered with the error; a probe with "unhealthy" and its text.
  void fail(Calls which, Error error);
  // The call does nothing and is not answered until release(). (No runtime of ours hangs for ever:
  // their calls end with kTimeout. This is the worse case.) kOpenLogs has no answer to wait for and
  // fails with kTimeout instead.
  void hang(Calls which);
  // The call does its work; its answer is kept back until release(). kOpenLogs as above.
  void hang_after(Calls which);
  // The call throws: its caller, an actor, crashes.
  void raise(Calls which);

  // Hung calls go on, kept answers are given. Returns how many.
  std::size_t release();
  // How many calls hang or have their answer kept back now; how many were struck in all.
  std::size_t hanging() const;
  int struck() const;
  // Takes back every fault that has not struck yet; what hangs goes on hanging.
  void clear();

  std::string_view name() const override;
  void probe(std::function<void(Fingerprint)> done) override;
  void on_doubt(std::function<void()> doubt) override;
  void on_call(CallSink sink) override;
  void check(std::shared_ptr<const TaskSpec> spec, std::shared_ptr<const TaskConfig> config,
             Done<void> done) override;
  void find_image(ImageQuery image, Done<std::optional<Image>> done) override;
  void pull_image(PullRequest request, Done<Image> done) override;
  void load_image(LoadRequest request, Done<Image> done) override;
  void remove_image(std::string reference, Done<void> done) override;
  void keep_references(std::set<std::string> references) override {
    inner_->keep_references(std::move(references));
  }
  void kept_references(Done<std::set<std::string>> done) override {
    inner_->kept_references(std::move(done));
  }
  void list_containers(Done<std::vector<FoundContainer>> done) override;
  Expected<std::shared_ptr<LogRoute>> open_logs(const LogPaths& paths, bool tty) override;
  void start(StartRequest request, ExitSink exited, Done<StartedContainer> done) override;
  void attach(ContainerRef container, ExitSink exited, Done<Attached> done) override;
  void signal(ContainerRef container, int signal, Done<void> done) override;
  void stop(ContainerRef container, Done<void> done) override;
  void remove(ContainerRef container, bool keep_container, Done<void> done) override;
  void disown(const std::string& container_name) override { inner_->disown(container_name); }
  void kill_process(ContainerRef container, ContainerProcess which, Done<void> done) override {
    inner_->kill_process(std::move(container), which, std::move(done));
  }
  void sample(std::vector<ContainerRef> containers,
              std::function<void(std::vector<UsageReading>)> done) override;
  void exec(ContainerRef container, ExecRequest request, std::shared_ptr<ExecClient> client,
            Done<std::shared_ptr<ExecSession>> done) override;

 private:
  struct Faults;

  // `run` passes the call on, given whom to answer; `refuse` makes the answer of a failure.
  template <class Answer, class Run, class Refuse>
  void pass(Call call, const std::string& about, std::function<void(Answer)> done, Run run,
            Refuse refuse);
  template <class T, class Run>
  void pass(Call call, const std::string& about, Done<T> done, Run run);

  std::shared_ptr<ContainerRuntime> inner_;
  std::shared_ptr<Faults> faults_;  // kept answers outlive the decorator
};

}  // namespace ndc::runtime
