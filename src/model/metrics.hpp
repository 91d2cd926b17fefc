// What happens in the driver, told to whoever keeps count of it. This base keeps none of it: it is
// what programs without a metrics endpoint use. src/metrics has the one that does.
//
// All methods may be called from any thread, return at once and never fail. Names that become
// labels are of a fixed set (calls, actors, states) or go away with what they name (tasks, pulls);
// none may be made of a job's environment, arguments or credentials.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/usage.hpp"

namespace ndc {

// The steps of StartTask, each measured from the end of the one before.
enum class StartPhase { kCheck, kImage, kLogs, kContainer };

struct PullActivity {
  std::size_t queued = 0;  // that wait for one of the max_concurrent_pulls
  // Each pull under way: its image, and the bytes that the engine has moved for it.
  std::vector<std::pair<std::string, std::uint64_t>> running;
};

class Metrics {
 public:
  Metrics() = default;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  virtual ~Metrics() = default;

  // So many more (or fewer) tasks are in this state: "running", "stopping", ….
  virtual void tasks_changed(std::string_view /*state*/, int /*by*/) {}

  virtual void start_phase_done(StartPhase /*phase*/, std::chrono::nanoseconds /*took*/) {}

  // The task's latest reading. Its series are kept until usage_ends() for the same owner, which is
  // the task's id: a successor with the same labels is not touched by its predecessor's end.
  virtual void usage(const std::string& /*owner*/, const std::string& /*alloc_id*/,
                     const std::string& /*task*/, const UsageSample& /*sample*/) {}
  virtual void usage_ends(const std::string& /*owner*/) {}

  // All of it, each time: nothing is left of an actor that crashed.
  virtual void pulls_changed(PullActivity /*activity*/) {}
  virtual void pull_done(bool /*ok*/, std::chrono::nanoseconds /*took*/) {}

  // One run of the engine's CLI: its subcommand ("run", "image inspect"), and how it ended: "ok",
  // "failed" (it said so) or "no_answer" (time-out, could not be run).
  virtual void runtime_call(std::string_view /*call*/, std::string_view /*outcome*/,
                            std::chrono::nanoseconds /*took*/) {}

  // An actor failed and was replaced: "image", "stats_sampler", "task", ….
  virtual void restarted(std::string_view /*actor*/) {}
};

}  // namespace ndc
