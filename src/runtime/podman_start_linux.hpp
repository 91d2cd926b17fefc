// Starts one container: a single `podman run --detach` where all goes well. Everything else in here
// is about finding out why it did not, and leaving nothing behind.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/plugin_config.hpp"
#include "runtime/conmon_linux.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/podman_argv.hpp"
#include "runtime/podman_cli.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_json.hpp"
#include "runtime/podman_peer_linux.hpp"

namespace ndc::runtime {

// Loop thread only; keeps itself until it has answered.
class PodmanStart : public std::enable_shared_from_this<PodmanStart> {
 public:
  PodmanStart(EventLoop& loop, std::shared_ptr<PodmanCli> cli, const PluginConfig& config,
              const std::string& state_dir, StartRequest request, Done<StartedContainer> done);

  void begin();

 private:
  void launch_beside(const std::string& peer);
  void launch();
  void launched(Expected<CommandResult> result);
  void started();
  // A container of this name exists; what is it to us?
  void diagnose(Error first_error);
  void namesake(const PodmanContainer& found, Error first_error);
  void replace(const std::string& id);
  void adopt(const PodmanContainer& found);
  // podman told the task's log why it failed. The same again, telling us.
  void second_look(const std::string& existing_id, Error first_error);
  void remove_and_answer(const std::string& id, Error error);
  // Where podman was killed, its container may be in its storage, without labels, and nowhere else.
  void clear_storage_and_answer(Error error);
  void answer(Error error);
  void answer(const std::string& id, pid_t pid, pid_t conmon_pid);

  Expected<Command> command(const std::string& verb, std::vector<std::string> options) const;

  EventLoop& loop_;
  std::shared_ptr<PodmanCli> cli_;
  const PluginConfig config_;
  std::string state_dir_;
  StartRequest request_;
  Done<StartedContainer> done_;
  PodmanFiles files_;
  PodmanArguments arguments_;
  std::vector<ContainerMount> mounts_;
  std::string group_address_;
  std::optional<NetworkOwner> network_owner_;  // of network_mode = "task:<name>"
  std::vector<std::string> notes_;
  bool replaced_ = false;
  bool guarded_ = false;        // there is a hook that has to run (mount_guard_linux.hpp)
  std::string earlier_id_;      // of the attempt before, where that left its id
  std::string removed_id_;      // of a container that this start has removed, or tried to
  bool may_be_stored_ = false;  // and podman does not answer: the reaper is to look
  bool disk_was_full_ = false;
  bool broke_off_ =
      false;  // podman was killed or did not do all: its container is not to be trusted
};

// The address and ports of a task that has a network of its own.
std::optional<DriverNetwork> driver_network(const TaskSpec& spec, const TaskConfig& config,
                                            std::string address);

}  // namespace ndc::runtime
