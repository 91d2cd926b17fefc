// Containers through Podman 4.3 and newer. Podman runs only to change something: what a running
// task's exit, usage and signals need comes from conmon and the kernel.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/plugin_config.hpp"
#include "model/version_number.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/log_bridge.hpp"
#include "runtime/podman_cli.hpp"
#include "runtime/podman_exits_linux.hpp"
#include "runtime/podman_images_linux.hpp"
#include "runtime/start_turns.hpp"
#include "runtime/state_leftovers.hpp"

namespace ndc::runtime {

// Callbacks hold the runtime, and the runtime holds the loop: whoever made the loop keeps it until
// the runtime is gone, so that the loop never ends on its own thread.
class PodmanRuntime final : public ContainerRuntime,
                            public std::enable_shared_from_this<PodmanRuntime> {
 public:
  PodmanRuntime(PluginConfig config, std::shared_ptr<EventLoop> loop);

  std::string_view name() const override { return "podman"; }
  void probe(std::function<void(Fingerprint)> done) override;
  void on_doubt(std::function<void()> doubt) override;
  void on_call(CallSink sink) override;
  void check(std::shared_ptr<const TaskSpec> spec, std::shared_ptr<const TaskConfig> config,
             Done<void> done) override;
  void find_image(ImageQuery image, Done<std::optional<Image>> done) override;
  void pull_image(PullRequest request, Done<Image> done) override;
  void load_image(LoadRequest request, Done<Image> done) override;
  void remove_image(std::string reference, Done<void> done) override;
  void keep_references(std::set<std::string> references) override;
  void kept_references(Done<std::set<std::string>> done) override;
  void list_containers(Done<std::vector<FoundContainer>> done) override;
  Expected<std::shared_ptr<LogRoute>> open_logs(const LogPaths& paths, bool tty) override;
  void start(StartRequest request, ExitSink exited, Done<StartedContainer> done) override;
  void attach(ContainerRef container, ExitSink exited, Done<Attached> done) override;
  void signal(ContainerRef container, int signal, Done<void> done) override;
  void stop(ContainerRef container, Done<void> done) override;
  void remove(ContainerRef container, bool keep_container, Done<void> done) override;
  void disown(const std::string& container_name) override;
  void kill_process(ContainerRef container, ContainerProcess which, Done<void> done) override;
  void sample(std::vector<ContainerRef> containers,
              std::function<void(std::vector<UsageReading>)> done) override;
  void exec(ContainerRef container, ExecRequest request, std::shared_ptr<ExecClient> client,
            Done<std::shared_ptr<ExecSession>> done) override;

 private:
  void started(Expected<StartedContainer> result, const std::string& name, const ExitSink& exited,
               const Done<StartedContainer>& done);
  void kill(const ContainerRef& container, int signal, Done<void> done);
  void remove_found(const ContainerRef& container, Done<void> done);

  PluginConfig config_;
  std::shared_ptr<EventLoop> loop_;
  std::shared_ptr<PodmanCli> cli_;
  std::shared_ptr<PodmanImages> images_;
  std::shared_ptr<AppearanceWatch> fifos_;
  std::string state_dir_;
  std::shared_ptr<PodmanExits> exits_;
  std::optional<VersionNumber> version_;  // as of the last probe; loop thread
  StateLeftovers leftovers_;
  StartTurns turns_;
};

}  // namespace ndc::runtime
