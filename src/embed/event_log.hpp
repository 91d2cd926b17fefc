// The last events of all tasks, to read and to wait for. Any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/stream.hpp"
#include "model/task_event.hpp"

namespace ndc::embed {

class EventLog final : public StreamSink<TaskEvent> {
 public:
  // Of more than `limit` events the oldest go.
  explicit EventLog(std::size_t limit) : limit_{limit} {}

  void next(TaskEvent event) override;
  void end(std::optional<Error>) override;
  bool closed() const override { return closed_; }

  std::vector<TaskEvent> all() const;
  // The oldest event of the task whose message holds `text`, at once or when it comes; kTimeout
  // past the deadline, kInternal once the log has ended without it.
  Expected<TaskEvent> wait_for(const std::string& task_id, const std::string& text,
                               std::chrono::nanoseconds within);

 private:
  const std::size_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<TaskEvent> events_;
  std::uint64_t gone_ = 0;  // events before the first of events_
  std::atomic<bool> closed_{false};
};

}  // namespace ndc::embed
