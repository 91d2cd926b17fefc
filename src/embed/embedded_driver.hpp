// The driver inside another program, without Nomad and gRPC: the same actor system over any
// runtime, commands that wait for their answer, events to wait for, and all faults at hand.
//
// Everything that waits takes a deadline and returns kTimeout past it; what nobody answered,
// because an actor crashed over it, is kInternal. Deadlines and the grace of a stop are cut at a
// year (kLongestWait), so that nanoseconds::max() may stand for "for ever". Not for use on a
// callback's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/driver.hpp"
#include "actors/driver_system.hpp"
#include "actors/message_faults.hpp"
#include "embed/waiting.hpp"
#include "runtime/faulty_runtime.hpp"

namespace ndc::embed {

class EventLog;

class EmbeddedDriver {
 public:
  static constexpr std::chrono::seconds kPatience{10};
  static constexpr std::size_t kKeptEvents = 10'000;
  using Within = std::chrono::nanoseconds;

  // `options.make_runtime` and `.message_faults` are set here, the rest is the caller's.
  explicit EmbeddedDriver(std::shared_ptr<runtime::ContainerRuntime> runtime,
                          PluginConfig config = {}, actors::DriverOptions options = {});
  // Ends the actors. Containers run on, as when the plugin is restarted.
  ~EmbeddedDriver();
  EmbeddedDriver(const EmbeddedDriver&) = delete;
  EmbeddedDriver& operator=(const EmbeddedDriver&) = delete;

  // --- tasks; everything else is in driver() ---

  // A task that runs `image`, with ids of its own and no log collector.
  static TaskSpec task(const std::string& name, const std::string& image);

  Expected<TaskHandle> start(const TaskSpec& spec, Within within = kPatience);
  Expected<void> recover(const TaskHandle& handle, Within within = kPatience);
  Expected<TaskExit> wait(const std::string& task_id, Within within = kPatience);
  Expected<void> stop(const std::string& task_id, std::chrono::nanoseconds grace,
                      Within within = kPatience);
  Expected<void> signal(const std::string& task_id, const std::string& name,
                        Within within = kPatience);
  Expected<void> destroy(const std::string& task_id, Within within = kPatience);  // by force
  Expected<TaskStatus> inspect(const std::string& task_id, Within within = kPatience);

  // The one façade of the driver, for what is not above: usage, fingerprints, exec.
  actors::Driver& driver() { return *driver_; }

  // --- what happens ---

  // The last kKeptEvents events of all tasks; who wants every one watches driver().watch_events().
  std::vector<TaskEvent> events() const;
  // Waits until the task has an event whose message holds `text`; one that came before and is
  // still kept counts. The task need not be known yet. kInternal at once where none can come any
  // more, because the root of the actors failed.
  Expected<TaskEvent> wait_for_event(const std::string& task_id, const std::string& text,
                                     Within within = kPatience);
  // Inspects the task until it is in that state, and ends at once with an error that asking again
  // would not change: kTaskNotFound for a task that is not known (yet, or any more), kInternal
  // where an actor crashed over the question. A task whose actor is being restarted is waited for
  // with wait_for_event.
  Expected<void> wait_for_state(const std::string& task_id, TaskState state,
                                Within within = kPatience);

  // --- faults ---

  runtime::FaultyRuntime& runtime() { return *runtime_; }
  actors::MessageFaults& messages() { return *messages_; }
  // SIGKILL to a process that the task's container depends on. kWrongState where there is none (any
  // more), kUnsupported where the runtime has no such process.
  Expected<void> kill_process(const TaskHandle& handle, runtime::ContainerProcess which,
                              Within within = kPatience);

 private:
  std::shared_ptr<runtime::FaultyRuntime> runtime_;
  std::shared_ptr<actors::MessageFaults> messages_;
  std::shared_ptr<EventLog> events_;
  std::unique_ptr<actors::Driver> driver_;
};

}  // namespace ndc::embed
