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

#include "model/error.hpp"

namespace ndc::runtime {

// What a start is answered with that nobody wanted any more when its turn would have come.
inline Error given_up_start(const std::string& container) {
  return {ErrorCode::kInternal,
          "start container",
          container,
          "its task was given up while the start waited for an earlier one",
          {}};
}

class StartTurns {
 public:
  // Runs `start` once those that came before it for this container are over. `given_up` is called
  // instead where give_up() comes first; without one it keeps its turn.
  void take(const std::string& container, std::function<void()> start,
            std::function<void()> given_up = {}) {
    const auto [it, is_free] = waiting_.try_emplace(container);
    if (is_free) return start();
    it->second.push_back({std::move(start), std::move(given_up)});
  }

  // Nobody wants the starts that still wait for this container. The one that goes on, ends.
  void give_up(const std::string& container) {
    const auto it = waiting_.find(container);
    if (it == waiting_.end()) return;
    std::deque<Turn> kept;
    std::deque<Turn> dropped;
    for (Turn& turn : it->second) (turn.given_up ? dropped : kept).push_back(std::move(turn));
    it->second = std::move(kept);
    for (const Turn& turn : dropped) turn.given_up();
  }

  // To be called at the end of each start.
  void over(const std::string& container) {
    const auto it = waiting_.find(container);
    if (it->second.empty()) {
      waiting_.erase(it);
      return;
    }
    const auto next = std::move(it->second.front().start);
    it->second.pop_front();
    next();
  }

 private:
  struct Turn {
    std::function<void()> start;
    std::function<void()> given_up;
  };
  std::map<std::string, std::deque<Turn>> waiting_;  // behind one that goes on
};

}  // namespace ndc::runtime
