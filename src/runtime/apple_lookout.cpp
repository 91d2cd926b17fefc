#include "runtime/apple_lookout.hpp"

#include <algorithm>
#include <utility>

namespace ndc::runtime {

void AppleLookout::follow(const std::shared_ptr<AppleWatch>& watch) {
  followed_[watch->id()] = {watch, Clock::now()};
  if (!timer_ && !looking_) wait(pause_);
}

AppleLookout::Watches AppleLookout::attached(Clock::time_point then) {
  Watches out;
  for (auto it = followed_.begin(); it != followed_.end();) {
    auto watch = it->second.watch.lock();
    if (!watch || watch->ended()) {
      it = followed_.erase(it);
      continue;
    }
    if (it->second.since <= then && watch->cli() > 0) out.push_back(std::move(watch));
    ++it;
  }
  return out;
}

void AppleLookout::sampled(Clock::time_point asked,
                           const std::map<std::string, AppleUsage>& running) {
  const Watches watches = attached(asked);
  const bool all_run = std::all_of(watches.begin(), watches.end(), [&](const auto& watch) {
    return running.contains(watch->id());
  });
  if (all_run) {
    all_ran_ = asked;
    return;
  }
  // One that has just ended is missing as well, for a moment.
  if (!looking_ && Clock::now() - looked_ >= pause_) look();
}

void AppleLookout::wait(std::chrono::nanoseconds pause) {
  timer_ = cli_->loop().after(pause, [self = shared_from_this()] { self->due(); });
}

void AppleLookout::due() {
  timer_.reset();
  const auto now = Clock::now();
  const bool nobody = attached(now).empty();
  if (followed_.empty()) return;
  if (nobody) return wait(pause_);
  const auto known_until = std::max(all_ran_, looked_) + pause_;
  if (now < known_until) return wait(known_until - now);
  look();
}

void AppleLookout::look() {
  timer_.reset();
  looking_ = true;
  cli_->list([self = shared_from_this(), asked = Clock::now()](
                 const Expected<AppleCli::Containers>& all) { self->looked(asked, all); });
}

// Nothing follows from a question that failed.
void AppleLookout::looked(Clock::time_point asked, const Expected<AppleCli::Containers>& all) {
  looking_ = false;
  looked_ = Clock::now();
  if (all) {
    std::map<std::string, const AppleContainer*> by_id;
    for (const AppleContainer& container : **all) by_id[container.id] = &container;
    for (const auto& watch : attached(asked)) {
      const auto found = by_id.find(watch->id());
      watch->listed(found == by_id.end() ? nullptr : found->second);
    }
  }
  wait(pause_);
}

}  // namespace ndc::runtime
