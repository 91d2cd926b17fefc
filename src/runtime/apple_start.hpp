// Starts one container: `create`, then a monitor that runs `start -a` under it. Everything else in
// here is about what stands in the way, and leaving nothing behind.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/plugin_config.hpp"
#include "runtime/apple_argv.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/apple_networks.hpp"
#include "runtime/apple_watch.hpp"
#include "runtime/checked_path.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

// Loop thread only; keeps itself until it has answered.
class AppleStart : public std::enable_shared_from_this<AppleStart> {
 public:
  struct Outcome {
    StartedContainer container;
    std::shared_ptr<AppleWatch> watch;
  };
  // `known`: a watch that exists for the id already, from an earlier call; may be null.
  AppleStart(const AppleWatchTools& tools, std::shared_ptr<AppleNetworks> networks,
             const PluginConfig& config, StartRequest request, std::string id,
             std::shared_ptr<AppleWatch> known, Done<Outcome> done);

  void begin();

 private:
  void prepare(const VersionNumber& version);
  // Resolves and allows what the job names of the host, and remembers what it was.
  Expected<void> take_paths(const VersionNumber& version);
  void choose_network();
  void make_network();
  void find_peer();
  void create();
  void make_room_for_sockets();
  void make_container();
  void created(Expected<CommandResult> result);
  // Why there is no container to go on with. Where its name was taken another try may follow.
  struct Obstacle {
    Error error;
    bool name_taken = false;
  };
  bool ran_before() const;
  Error left_by_earlier() const;
  Error create_error(const CommandResult& result) const;
  // A container of this name exists, or may exist; what is it to us?
  void namesake(Obstacle obstacle);
  bool is_ours(const AppleContainer& found) const;
  void judge_namesake(const AppleContainer& found, const Obstacle& obstacle);
  void hold_logs();
  void adopt(const AppleContainer& found);
  void replace(const Obstacle& obstacle);
  void await_monitor(int tries);
  void note_damaged_output();
  void launch_monitor();
  void monitor_launched(const Expected<CommandResult>& result);
  void started(Expected<AppleContainer> result);
  void remove_and_answer(const Error& error);
  void leave_container();
  void answer(Error error);
  void answer(const AppleContainer& container);

  AppleWatchTools tools_;
  std::shared_ptr<AppleNetworks> networks_;
  PluginConfig config_;
  StartRequest request_;
  std::string id_;
  std::shared_ptr<AppleWatch> watch_;
  Done<Outcome> done_;
  AppleFiles files_;
  AppleRequest wanted_;
  AppleArguments arguments_;
  std::vector<CheckedPath> checked_;
  std::vector<std::string> notes_;  // of what is told whatever becomes of the arguments
  std::shared_ptr<EventLoop::Timer> pause_;
  bool replaced_ = false;
  bool owns_files_ = false;  // what is in them is this start's: they go with its failure
  // But not where a container is there, or may be, that has not been removed: then nothing goes
  // that is known of it, neither its files nor an earlier start's watch.
  bool container_stays_ = false;
  int network_tries_ = 0;
};

// publish_sockets with the host paths resolved and allowed. kInvalidConfig names each that cannot
// be. Who listens there is not looked at: it may be the task's own container.
Expected<std::vector<Volume>> apple_sockets(const TaskSpec& spec, const TaskConfig& config,
                                            const PluginConfig::Volumes& policy);

// Whether there is a socket already at one of the paths, which the CLI would refuse.
bool sockets_are_there(const std::vector<Volume>& sockets);

// Removes those of an earlier run. kInvalidConfig names each that somebody listens at, and none is
// removed then. For what apple_sockets() has let pass, where no container of ours has that id.
Expected<void> clear_sockets(const std::vector<Volume>& sockets);

}  // namespace ndc::runtime
