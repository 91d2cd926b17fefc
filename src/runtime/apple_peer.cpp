#include "runtime/apple_peer.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "model/duration.hpp"
#include "model/labels.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Each look is one `list`, which those of other tasks share.
constexpr auto kFirstPause = 100ms;
constexpr auto kLongestPause = 2000ms;

constexpr const char* kJoin = "join the network of task";

// Task ids are "<alloc>/<task>/<…>". An earlier attempt's container may still be there.
const AppleContainer* find_running(const std::vector<AppleContainer>& all, const TaskSpec& spec,
                                   const std::string& task) {
  const std::string prefix = spec.alloc_id + "/" + task + "/";
  const auto found = std::find_if(all.begin(), all.end(), [&](const AppleContainer& each) {
    const auto label = each.labels.find(kLabelTaskId);
    return each.running() && label != each.labels.end() && label->second.starts_with(prefix);
  });
  return found == all.end() ? nullptr : &*found;
}

ApplePeer peer_of(const AppleContainer& container) {
  ApplePeer peer;
  const AppleAddress& first = container.addresses.front();
  peer.address = first.address;
  // Only with a domain, which the node's administrator sets up, do names resolve.
  if (first.host_name.starts_with(container.id + ".")) peer.host_name = first.host_name;
  for (const AppleAddress& address : container.addresses) {
    if (!address.network.empty()) peer.networks.push_back(address.network);
  }
  return peer;
}

struct Wait : std::enable_shared_from_this<Wait> {
  std::shared_ptr<AppleCli> cli;
  std::shared_ptr<const TaskSpec> spec;
  std::string task;
  std::chrono::nanoseconds patience{};
  Done<ApplePeer> done;
  Clock::time_point deadline;
  std::chrono::milliseconds pause = kFirstPause;
  std::shared_ptr<EventLoop::Timer> timer;

  void look() {
    // The timer holds this object: its end must not come in the middle.
    const auto self = shared_from_this();
    timer.reset();
    cli->list([self](const Expected<AppleCli::Containers>& all) { self->judge(all); });
  }

  void judge(const Expected<AppleCli::Containers>& all) {
    // An engine that cannot be asked says nothing of that task.
    if (const AppleContainer* found = all ? find_running(**all, *spec, task) : nullptr) {
      if (found->networks.empty()) {
        return done(fail({ErrorCode::kInvalidConfig, kJoin, task, "that task has no network",
                          "remove its network_mode = \"none\""}));
      }
      if (!found->addresses.empty()) return done(peer_of(*found));
    }
    if (Clock::now() >= deadline) {
      if (!all) {
        Error error = all.error();
        return done(fail(std::move(error).wrap(kJoin, task)));
      }
      return done(fail({ErrorCode::kTimeout, kJoin, task,
                        "no such task of this allocation ran within " + format_duration(patience),
                        "name a task of the same group that runs as long as this one"}));
    }
    timer = cli->loop().after(pause, [self = shared_from_this()] { self->look(); });
    pause = std::min(2 * pause, std::chrono::milliseconds{kLongestPause});
  }
};

}  // namespace

void await_apple_peer(std::shared_ptr<AppleCli> cli, std::shared_ptr<const TaskSpec> spec,
                      const std::string& task, std::chrono::nanoseconds patience,
                      Done<ApplePeer> done) {
  auto wait = std::make_shared<Wait>();
  wait->cli = std::move(cli);
  wait->spec = std::move(spec);
  wait->task = task;
  wait->patience = patience;
  wait->done = std::move(done);
  wait->deadline = Clock::now() + patience;
  wait->look();
}

}  // namespace ndc::runtime
