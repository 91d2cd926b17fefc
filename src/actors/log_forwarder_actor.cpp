// Owns one task's log route: opens Nomad's FIFOs, hands the route to the task actor, follows a
// pumped one and drains it at the end. Killing it loses no byte: the kernel's pipe, or the engine's
// log file, is the queue, and its successor continues from there.

#include <optional>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/spawn.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

class LogForwarderActor {
 public:
  static constexpr const char* name = "log_forwarder_actor";
  static const std::string& task_of(const RuntimePtr&, const runtime::LogPaths&, bool,
                                    const caf::actor&, const TaskIdentity& task) {
    return task.task_id;
  }
  LogForwarderActor(act::Self self, RuntimePtr runtime, runtime::LogPaths paths, bool tty,
                    caf::actor task, const TaskIdentity&)
      : self_{self},
        runtime_{std::move(runtime)},
        paths_{std::move(paths)},
        tty_{tty},
        task_{std::move(task)} {}

  caf::behavior make_behavior() {
    return {
        [this](const OpenLogs&) { open(); },
        [this](const HoldLogs& m) { hold(m); },
        [this](const FollowLogs& m) { follow(m.container); },
        [this](const FinishLogs& m) { finish(m.generation); },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  void open() {
    if (route_) return;
    auto opened = runtime_->open_logs(paths_, tty_);
    if (opened) route_ = *opened;
    crash_point("log.route.opened");
    act::tell(task_, LogsOpened{std::move(opened)});
    if (route_ && container_) follow(*container_);
  }

  void hold(const HoldLogs& m) {
    const auto opened = runtime_->open_logs(paths_, tty_);
    if (opened) {
      m.reply((*opened)->hold());
    } else {
      spdlog::warn("{}", opened.error().message());
    }
  }

  void follow(const ContainerRef& container) {
    container_ = container;
    if (!route_) return;
    route_->follow(container,
                   [task = task_](Error error) { act::tell(task, LogsBroken{std::move(error)}); });
    crash_point("log.route.followed");
  }

  void finish(std::uint64_t generation) {
    open();
    if (!route_) return;  // the task was told so, and decides
    crash_point("log.route.finishing");
    route_->finish([task = task_, generation] { act::tell(task, LogsDrained{generation}); });
  }

  act::Self self_;
  RuntimePtr runtime_;
  runtime::LogPaths paths_;
  bool tty_;
  caf::actor task_;
  std::shared_ptr<runtime::LogRoute> route_;
  std::optional<ContainerRef> container_;  // that is to be followed
};

}  // namespace

caf::actor spawn_log_forwarder(act::Self parent, RuntimePtr runtime, runtime::LogPaths paths,
                               bool tty, caf::actor task, TaskIdentity identity) {
  return parent->spawn<act::Host<LogForwarderActor>>(std::move(runtime), std::move(paths), tty,
                                                     std::move(task), std::move(identity));
}

}  // namespace ndc::actors
