#include "embed/event_log.hpp"

#include <algorithm>
#include <utility>

#include "model/duration.hpp"

namespace ndc::embed {

void EventLog::next(TaskEvent event) {
  const std::lock_guard lock{mutex_};
  events_.push_back(std::move(event));
  while (events_.size() > limit_) {
    events_.pop_front();
    ++gone_;
  }
  changed_.notify_all();
}

void EventLog::end(std::optional<Error>) {
  const std::lock_guard lock{mutex_};
  closed_ = true;
  changed_.notify_all();
}

std::vector<TaskEvent> EventLog::all() const {
  const std::lock_guard lock{mutex_};
  return {events_.begin(), events_.end()};
}

Expected<TaskEvent> EventLog::wait_for(const std::string& task_id, const std::string& text,
                                       std::chrono::nanoseconds within) {
  std::unique_lock lock{mutex_};
  std::uint64_t seen = 0;  // counted as gone_ is: the queue moves on while we sleep
  const TaskEvent* found = nullptr;
  const bool settled = changed_.wait_for(lock, bounded_wait(within), [&] {
    for (seen = std::max(seen, gone_); !found && seen - gone_ < events_.size(); ++seen) {
      const TaskEvent& event = events_[static_cast<std::size_t>(seen - gone_)];
      if (event.task_id == task_id && event.message.find(text) != std::string::npos) {
        found = &event;
      }
    }
    return found != nullptr || closed_;
  });
  if (found) return *found;
  const std::string none = "none that holds " + quoted(text) + " came ";
  return fail({.code = settled ? ErrorCode::kInternal : ErrorCode::kTimeout,
               .what = "wait for an event of",
               .on = task_id,
               .cause = none + (settled ? "before the driver ended" : "in time")});
}

}  // namespace ndc::embed
