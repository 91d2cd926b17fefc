// Waiting with a deadline, of a year at most: for a command's answer, for a condition.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "model/duration.hpp"
#include "model/error.hpp"
#include "model/reply.hpp"

namespace ndc::embed {

// Calls `ask` with a Reply and waits for what comes. kTimeout past the deadline (the answer, if it
// comes later, is dropped), kInternal when the reply was dropped.
template <class T, class Ask>
Expected<T> answer_of(const std::string& what, std::chrono::nanoseconds within, Ask ask) {
  struct Slot {
    std::mutex mutex;
    std::condition_variable changed;
    bool settled = false;
    std::optional<Expected<T>> answer;
  };
  const auto slot = std::make_shared<Slot>();
  ask(Reply<Expected<T>>{[slot](std::optional<Expected<T>> answer) {
    const std::lock_guard lock{slot->mutex};
    slot->answer = std::move(answer);
    slot->settled = true;
    slot->changed.notify_all();
  }});
  std::unique_lock lock{slot->mutex};
  if (!slot->changed.wait_for(lock, bounded_wait(within), [&] { return slot->settled; })) {
    return fail({.code = ErrorCode::kTimeout, .what = what, .cause = "no answer in time"});
  }
  if (!slot->answer) {
    return fail({.code = ErrorCode::kInternal,
                 .what = what,
                 .cause = "the actor that was to answer crashed"});
  }
  return std::move(*slot->answer);
}

// Asks `condition` again and again, with pauses of 2 ms; false past the deadline. For what tells
// nobody when it changes.
template <class Condition>
bool eventually(Condition condition, std::chrono::nanoseconds within = std::chrono::seconds{10}) {
  const auto deadline = std::chrono::steady_clock::now() + bounded_wait(within);
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{2});
  }
  return true;
}

}  // namespace ndc::embed
