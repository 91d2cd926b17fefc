// Private networks of allocations (`network_mode = "task:<name>"`). Machines share no namespace, so
// the tasks of an allocation that want to be by themselves share a network. A running machine joins
// none: the task that others join asks for it by its own name, before it starts.
//
// A network is made by the first task that needs it, in use as long as a container refers to it,
// and removed with the last one. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/plugin_config.hpp"
#include "model/task_spec.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

// Keys of labels on a network are stricter than on a container: no '_'.
inline constexpr const char* kNetworkAllocId = "nomad.alloc-id";
inline constexpr const char* kNetworkNodeId = "nomad.node-id";

// In ContainerRef::state: the private network that the container is on.
inline constexpr const char* kNetworkState = "network";

std::string allocation_network(const std::string& alloc_id);
// Whether it may be one's name. Handles come from disk, and a name becomes an argument.
bool may_be_allocation_network(std::string_view name);

class AppleNetworks : public std::enable_shared_from_this<AppleNetworks> {
 public:
  AppleNetworks(std::shared_ptr<AppleCli> cli, PluginConfig::DanglingContainers settings)
      : cli_{std::move(cli)}, settings_{settings} {}

  // A task of this node was asked for: networks of the node are ours to sweep.
  void learn_node(const std::string& node_id) {
    if (!node_id.empty()) node_ids_.insert(node_id);
  }

  // The network of the task's allocation exists and is ours, whoever made it; its name.
  // kAlreadyExists where somebody else's has the name, kUnsupported where the CLI makes none.
  void ensure(const TaskSpec& spec, Done<std::string> done);

  // A container of that network is gone, or never came to be. The engine keeps a network that
  // others refer to, so the last one takes it along; `done` comes in any case.
  void release(const std::string& network, std::function<void()> done);

  // Removes what a plugin that died left: networks of this node's allocations that none of
  // `containers` refers to, older than the grace period of dangling containers. Before a task has
  // told which node this is, none.
  void sweep(std::shared_ptr<const std::vector<AppleContainer>> containers);

 private:
  void adopt(const TaskSpec& spec, const Error& taken, Done<std::string> done);
  void judge(const AppleNetwork& network, const std::vector<AppleContainer>& containers);

  std::shared_ptr<AppleCli> cli_;
  PluginConfig::DanglingContainers settings_;
  std::set<std::string> node_ids_;  // of this client: as a rule one
};

}  // namespace ndc::runtime
