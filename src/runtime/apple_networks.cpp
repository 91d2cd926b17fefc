#include "runtime/apple_networks.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/apple_errors.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kPrefix = "nomad-";
constexpr const char* kMake = "make the allocation's network";
constexpr int kUsage = 64;  // of a CLI that does not know the command

std::string label(const AppleNetwork& network, const char* key) {
  const auto found = network.labels.find(key);
  return found == network.labels.end() ? "" : found->second;
}

bool refers_to(const AppleContainer& container, const std::string& network) {
  return std::find(container.networks.begin(), container.networks.end(), network) !=
         container.networks.end();
}

}  // namespace

std::string allocation_network(const std::string& alloc_id) { return kPrefix + alloc_id; }

bool may_be_allocation_network(std::string_view name) {
  return name.starts_with(kPrefix) && name.size() <= 63 &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

void AppleNetworks::ensure(const TaskSpec& spec, Done<std::string> done) {
  const std::string name = allocation_network(spec.alloc_id);
  std::vector<std::pair<std::string, std::string>> labels{{kNetworkAllocId, spec.alloc_id}};
  if (!spec.node_id.empty()) labels.emplace_back(kNetworkNodeId, spec.node_id);
  const AppleCall create = AppleCall::network_create(name, labels);
  cli_->run(create, [self = shared_from_this(), spec, name,
                     done = std::move(done)](Expected<CommandResult> result) {
    if (!result) return done(fail(std::move(result.error()).wrap(kMake, name)));
    if (result->status == ExitStatus{Exited{0}}) return done(name);
    if (result->status == ExitStatus{Exited{kUsage}}) {
      return done(fail(
          {ErrorCode::kUnsupported, kMake, name,
           "this Apple's container makes no networks: " + apple_reason(result->err),
           "update macOS to 26 or newer, or remove network_mode = \"task:" + spec.name + "\""}));
    }
    Error error = apple_error(kMake, name, result->status, result->err);
    if (error.code != ErrorCode::kAlreadyExists) return done(fail(std::move(error)));
    self->adopt(spec, error, done);
  });
}

// Another task of the allocation, or an earlier attempt, was first.
void AppleNetworks::adopt(const TaskSpec& spec, const Error& taken, Done<std::string> done) {
  cli_->networks([spec, taken, done = std::move(done)](const Expected<AppleCli::Networks>& all) {
    if (!all) {
      Error error = all.error();
      return done(fail(std::move(error).wrap(kMake, taken.on)));
    }
    const auto found = std::find_if(all->begin(), all->end(), [&](const AppleNetwork& network) {
      return network.name == taken.on;
    });
    // Its last user removed it meanwhile: the caller's container will miss it, and ask again.
    if (found == all->end() || label(*found, kNetworkAllocId) == spec.alloc_id) {
      return done(taken.on);
    }
    done(fail({ErrorCode::kAlreadyExists, kMake, taken.on,
               "a network of this name exists and is not ours",
               "remove it: container network delete " + taken.on}));
  });
}

void AppleNetworks::release(const std::string& network, std::function<void()> done) {
  if (!may_be_allocation_network(network)) return done();
  cli_->run(AppleCall::network_delete(network),
            [network, done = std::move(done)](const Expected<CommandResult>& result) {
              if (!result) spdlog::warn("remove network {}: {}", network, result.error().message());
              done();
            });
}

void AppleNetworks::sweep(std::shared_ptr<const std::vector<AppleContainer>> containers) {
  if (node_ids_.empty()) return;
  cli_->networks([self = shared_from_this(),
                  containers = std::move(containers)](const Expected<AppleCli::Networks>& all) {
    if (!all) return spdlog::warn("{}", all.error().message());
    for (const AppleNetwork& network : *all) self->judge(network, *containers);
  });
}

void AppleNetworks::judge(const AppleNetwork& network,
                          const std::vector<AppleContainer>& containers) {
  const std::string alloc = label(network, kNetworkAllocId);
  if (alloc.empty() || network.name != allocation_network(alloc)) return;
  if (!node_ids_.contains(label(network, kNetworkNodeId))) return;
  const bool used = std::any_of(
      containers.begin(), containers.end(),
      [&](const AppleContainer& container) { return refers_to(container, network.name); });
  // Of unknown age it may be in the making.
  const bool fresh = !network.created ||
                     std::chrono::system_clock::now() - *network.created < settings_.creation_grace;
  if (used || fresh) return;
  if (settings_.dry_run) {
    spdlog::warn("no task is on the network {}: it would be removed (dry_run)", network.name);
    return;
  }
  spdlog::warn("no task is on the network {}: removing it", network.name);
  release(network.name, [] {});
}

}  // namespace ndc::runtime
