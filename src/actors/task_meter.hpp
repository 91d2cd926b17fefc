// What a task tells the metrics about itself: the state it is in, and how long each step of its
// start took. A task actor that crashes is not counted any more.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include "model/metrics.hpp"

namespace ndc::actors {

class TaskMeter {
 public:
  // `state` and what entered() gets are of static storage.
  TaskMeter(std::shared_ptr<Metrics> metrics, std::string_view state)
      : metrics_{std::move(metrics)}, state_{state} {
    metrics_->tasks_changed(state_, 1);
  }
  ~TaskMeter() { metrics_->tasks_changed(state_, -1); }
  TaskMeter(const TaskMeter&) = delete;
  TaskMeter& operator=(const TaskMeter&) = delete;

  void entered(std::string_view state) {
    metrics_->tasks_changed(std::exchange(state_, state), -1);
    metrics_->tasks_changed(state_, 1);
  }

  void phase_done(StartPhase phase) {
    const auto now = Clock::now();
    metrics_->start_phase_done(phase, now - std::exchange(phase_begun_, now));
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::shared_ptr<Metrics> metrics_;
  std::string_view state_;
  Clock::time_point phase_begun_ = Clock::now();
};

}  // namespace ndc::actors
