#include "embed/embedded_driver.hpp"

#include <unistd.h>

#include <atomic>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <random>

#include "embed/event_log.hpp"

namespace ndc::embed {

EmbeddedDriver::EmbeddedDriver(std::shared_ptr<runtime::ContainerRuntime> runtime,
                               PluginConfig config, actors::DriverOptions options)
    : runtime_{std::make_shared<runtime::FaultyRuntime>(std::move(runtime))},
      messages_{std::make_shared<actors::MessageFaults>()},
      events_{std::make_shared<EventLog>(kKeptEvents)} {
  options.make_runtime = [made = runtime_](const PluginConfig&) {
    return std::shared_ptr<runtime::ContainerRuntime>{made};
  };
  options.message_faults = messages_;
  driver_ = actors::make_driver(std::move(options));
  driver_->watch_events(events_);
  // Messages of one sender arrive in order: whatever is asked next finds it configured.
  driver_->set_config(std::move(config), std::nullopt, {});
}

EmbeddedDriver::~EmbeddedDriver() { driver_.reset(); }

TaskSpec EmbeddedDriver::task(const std::string& name, const std::string& image) {
  static const std::uint32_t program = std::random_device{}();
  static std::atomic<std::uint32_t> count{0};
  // Ids of Nomad's form. A container's name has only their first part, so it is that which counts:
  // from a number that no other program is likely to have, before us or beside us, and that a child
  // of this one has not (the multiplier is odd: no two process ids fall together).
  const auto pid = static_cast<std::uint32_t>(::getpid());
  const std::uint32_t first = program + pid * 2654435761u + ++count;
  char alloc[40];
  static_cast<void>(std::snprintf(alloc, sizeof alloc,
                                  "%08" PRIx32 "-%04" PRIx32 "-0000-0000-000000000000", first,
                                  pid & 0xffff));
  TaskSpec spec;
  spec.alloc_id = alloc;
  spec.name = name;
  spec.id = spec.alloc_id + "/" + name + "/00000001";
  spec.stdout_path = spec.stderr_path = "/dev/null";
  spec.config.data = Value::Map{{"image", Value{image}}};
  return spec;
}

Expected<TaskHandle> EmbeddedDriver::start(const TaskSpec& spec, Within within) {
  auto started =
      answer_of<actors::TaskStarted>("start task " + quoted(spec.id), within,
                                     [&](auto reply) { driver_->start_task(spec, reply); });
  if (!started) return fail(std::move(started.error()));
  return decode_handle(started->driver_state);
}

Expected<void> EmbeddedDriver::recover(const TaskHandle& handle, Within within) {
  return answer_of<void>("recover task " + quoted(handle.task_id), within, [&](auto reply) {
    driver_->recover_task(handle.task_id, encode_handle(handle), reply);
  });
}

Expected<TaskExit> EmbeddedDriver::wait(const std::string& task_id, Within within) {
  std::function<bool()> abandon;
  auto exit = answer_of<TaskExit>("wait for task " + quoted(task_id), within, [&](auto reply) {
    abandon = reply.abandoner();
    driver_->wait_task(task_id, std::move(reply));
  });
  // After a time-out the driver would keep it until the task ends, and take no more at some point.
  // Commands, which something is done for, are left to be answered.
  abandon();
  return exit;
}

Expected<void> EmbeddedDriver::stop(const std::string& task_id, std::chrono::nanoseconds grace,
                                    Within within) {
  return answer_of<void>("stop task " + quoted(task_id), within,
                         [&](auto reply) { driver_->stop_task(task_id, grace, "", reply); });
}

Expected<void> EmbeddedDriver::signal(const std::string& task_id, const std::string& name,
                                      Within within) {
  return answer_of<void>("signal task " + quoted(task_id), within,
                         [&](auto reply) { driver_->signal_task(task_id, name, reply); });
}

Expected<void> EmbeddedDriver::destroy(const std::string& task_id, Within within) {
  return answer_of<void>("destroy task " + quoted(task_id), within,
                         [&](auto reply) { driver_->destroy_task(task_id, true, reply); });
}

Expected<TaskStatus> EmbeddedDriver::inspect(const std::string& task_id, Within within) {
  return answer_of<TaskStatus>("inspect task " + quoted(task_id), within,
                               [&](auto reply) { driver_->inspect_task(task_id, reply); });
}

std::vector<TaskEvent> EmbeddedDriver::events() const { return events_->all(); }

Expected<TaskEvent> EmbeddedDriver::wait_for_event(const std::string& task_id,
                                                   const std::string& text, Within within) {
  return events_->wait_for(task_id, text, within);
}

Expected<void> EmbeddedDriver::wait_for_state(const std::string& task_id, TaskState state,
                                              Within within) {
  const std::string what = "wait for the state of";
  const auto deadline = std::chrono::steady_clock::now() + bounded_wait(within);
  std::optional<Error> refused;  // with what asking again would not change
  const bool settled = eventually(
      [&] {
        // One question may use up all the time that is left, and no more.
        auto status = inspect(task_id, deadline - std::chrono::steady_clock::now());
        if (status) return status->state == state;
        if (!status.error().recoverable()) refused = std::move(status.error());
        return refused.has_value();
      },
      within);
  if (refused) return fail(std::move(*refused).wrap(what, task_id));
  if (settled) return {};
  return fail({.code = ErrorCode::kTimeout,
               .what = what,
               .on = task_id,
               .cause = "it was not reached in time"});
}

Expected<void> EmbeddedDriver::kill_process(const TaskHandle& handle,
                                            runtime::ContainerProcess which, Within within) {
  return answer_of<void>("kill process of task " + quoted(handle.task_id), within, [&](auto reply) {
    runtime_->kill_process(handle.container, which,
                           [reply](Expected<void> done) { reply(std::move(done)); });
  });
}

}  // namespace ndc::embed
