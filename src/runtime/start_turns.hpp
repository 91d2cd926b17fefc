// Starts of one container at a time. A task actor that fails during a start is followed by another
// one that asks for the same: that waits for the end of the first, and finds what it has made.
// Beside each other they would take each other's files and container away. So would a removal of
// what was found under that name. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace ndc::runtime {

class StartTurns {
 public:
  // Runs `start` once those that came before it for this container are over.
  void take(const std::string& container, std::function<void()> start) {
    const auto [it, is_free] = waiting_.try_emplace(container);
    if (is_free) return start();
    it->second.push_back(std::move(start));
  }

  // To be called at the end of each start.
  void over(const std::string& container) {
    const auto it = waiting_.find(container);
    if (it->second.empty()) {
      waiting_.erase(it);
      return;
    }
    const auto next = std::move(it->second.front());
    it->second.pop_front();
    next();
  }

 private:
  std::map<std::string, std::deque<std::function<void()>>> waiting_;  // behind one that goes on
};

}  // namespace ndc::runtime
