#include "runtime/apple_poller.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace ndc::runtime {

void ApplePoller::add(const std::string& id, Answer answer) {
  answers_[id] = std::move(answer);
  pause_ = first_;
  if (!asking_) ask_later();
}

void ApplePoller::remove(const std::string& id) {
  answers_.erase(id);
  if (answers_.empty()) timer_.reset();
}

void ApplePoller::ask_later() {
  timer_ = cli_->loop().after(pause_, [self = shared_from_this()] { self->ask(); });
  pause_ = std::min(2 * pause_, longest_);
}

void ApplePoller::ask() {
  if (answers_.empty()) return;
  asking_ = true;
  cli_->list([self = shared_from_this()](const Expected<AppleCli::Containers>& all) {
    self->asking_ = false;
    self->answered(all);
    if (!self->answers_.empty()) self->ask_later();
  });
}

void ApplePoller::answered(const Expected<AppleCli::Containers>& all) {
  std::map<std::string, const AppleContainer*> by_id;
  if (all) {
    for (const AppleContainer& container : **all) by_id[container.id] = &container;
  }
  // Answers may add and remove others.
  const std::vector<std::pair<std::string, Answer>> asked{answers_.begin(), answers_.end()};
  for (const auto& [id, answer] : asked) {
    if (!answers_.contains(id)) continue;
    Expected<std::optional<AppleContainer>> found{std::nullopt};
    if (!all) {
      found = fail(all.error());
    } else if (const auto it = by_id.find(id); it != by_id.end()) {
      found = std::optional{*it->second};
    }
    if (!answer(found)) answers_.erase(id);
  }
}

}  // namespace ndc::runtime
