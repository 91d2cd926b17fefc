// A runtime whose containers exist only in memory: for programs and tests that are about the
// driver, not about an engine. Every call is answered at once, from its event loop's thread, as a
// real runtime does. Faults are not its business: wrap it in a FaultyRuntime.
//
// SIGINT, SIGTERM, SIGQUIT and SIGKILL end a container with 128 + n; every other signal is taken
// and has no effect. Nothing is written to a task's log, and exec is refused (kUnsupported).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/container_runtime.hpp"

namespace ndc::embed {

class SimulatedRuntime final : public runtime::ContainerRuntime {
 public:
  SimulatedRuntime();
  ~SimulatedRuntime() override;

  // Ends the container as if its process had ended so. False if none of this name runs.
  bool end(const std::string& container_name, TaskExit exit);
  // Names of the containers that run, of those that are there at all.
  std::vector<std::string> running() const;
  std::vector<std::string> all() const;

  std::string_view name() const override { return "simulated"; }
  void probe(std::function<void(Fingerprint)> done) override;
  void on_doubt(std::function<void()> doubt) override;
  void check(std::shared_ptr<const TaskSpec> spec, std::shared_ptr<const TaskConfig> config,
             runtime::Done<void> done) override;
  void find_image(runtime::ImageQuery image,
                  runtime::Done<std::optional<runtime::Image>> done) override;
  void pull_image(runtime::PullRequest request, runtime::Done<runtime::Image> done) override;
  void load_image(runtime::LoadRequest request, runtime::Done<runtime::Image> done) override;
  void remove_image(std::string reference, runtime::Done<void> done) override;
  void list_containers(runtime::Done<std::vector<runtime::FoundContainer>> done) override;
  Expected<std::shared_ptr<runtime::LogRoute>> open_logs(const runtime::LogPaths& paths,
                                                         bool tty) override;
  void start(runtime::StartRequest request, runtime::ExitSink exited,
             runtime::Done<runtime::StartedContainer> done) override;
  void attach(ContainerRef container, runtime::ExitSink exited,
              runtime::Done<runtime::Attached> done) override;
  void signal(ContainerRef container, int signal, runtime::Done<void> done) override;
  void stop(ContainerRef container, runtime::Done<void> done) override;
  void remove(ContainerRef container, bool keep_container, runtime::Done<void> done) override;
  void sample(std::vector<ContainerRef> containers,
              std::function<void(std::vector<runtime::UsageReading>)> done) override;
  void exec(ContainerRef container, ExecRequest request, std::shared_ptr<ExecClient> client,
            runtime::Done<std::shared_ptr<ExecSession>> done) override;

 private:
  struct Engine;
  std::unique_ptr<Engine> engine_;
};

}  // namespace ndc::embed
