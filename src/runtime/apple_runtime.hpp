// Containers through Apple's `container` CLI, 0.11 to 1.2. A running task needs none of its calls:
// its monitor holds the attached CLI, and tells of the exit.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/plugin_config.hpp"
#include "runtime/apple_images.hpp"
#include "runtime/apple_lookout.hpp"
#include "runtime/apple_networks.hpp"
#include "runtime/apple_watch.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/start_turns.hpp"
#include "runtime/state_leftovers.hpp"

namespace ndc::runtime {

// Callbacks hold the runtime, and the runtime holds the loop: whoever made the loop keeps it until
// the runtime is gone, so that the loop never ends on its own thread.
class AppleRuntime final : public ContainerRuntime,
                           public std::enable_shared_from_this<AppleRuntime> {
 public:
  // As make_apple().
  AppleRuntime(PluginConfig config, std::shared_ptr<EventLoop> loop, std::string monitor_program,
               std::chrono::nanoseconds drain_time, const std::string& login_dir);

  std::string_view name() const override { return "apple"; }
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
  // A container that is followed, and what was told of its start, where that was ours.
  struct Followed {
    std::shared_ptr<AppleWatch> watch;
    std::string task_id;
    StartedContainer started;
  };

  void start_in_turn(StartRequest request, const std::string& id, ExitSink exited,
                     Done<StartedContainer> done);
  void remove_leftover(const std::string& name, const Done<void>& done);
  std::vector<Error> refusals(const TaskSpec& spec, const TaskConfig& config,
                              const VersionNumber& version) const;
  std::shared_ptr<AppleWatch> watch_of(const std::string& id) const;
  // As signal().
  Command ending_call(const AppleCall& call, const ContainerRef& container) const;
  void control(const AppleCall& call, const char* what, const ContainerRef& container,
               Done<void> done);
  void forget(const ContainerRef& container, const Done<void>& done);

  PluginConfig config_;
  std::shared_ptr<EventLoop> loop_;
  std::shared_ptr<AppleCli> cli_;
  std::shared_ptr<AppleImages> images_;
  std::shared_ptr<AppleNetworks> networks_;
  AppleWatchTools tools_;
  std::shared_ptr<AppleLookout> lookout_;
  std::map<std::string, Followed> followed_;  // by container id; loop thread
  StartTurns turns_;
  std::string state_dir_;
  StateLeftovers leftovers_;
};

}  // namespace ndc::runtime
