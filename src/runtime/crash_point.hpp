// Named places at which a test build can be stopped or killed, so that tests can take the program
// away at every step of a life cycle. Without the CMake option NDC_CRASH_POINTS a point is nothing:
// no call, no name. One that is not listed here does not compile; tests ask the program for the
// list (subcommand `crash-points`) and complain about a point that they do not reach.
#pragma once

#include <cstddef>
#include <iterator>
#include <string_view>

namespace ndc {

// "<part>.<life cycle>.<what has just been done, or is being done>".
inline constexpr const char* kCrashPoints[] = {
    // every engine
    "driver.start.entered",
    "driver.start.answering",
    "driver.start.answered",
    "driver.recover.entered",
    "driver.recover.answered",
    "driver.exit.answering",
    "driver.exit.answered",
    "driver.destroy.forgotten",
    "task.start.checked",
    "task.start.image_ready",
    "task.start.logs_opened",
    "task.start.running",
    "task.start.failed",
    "task.recover.attaching",
    "task.recover.attached",
    "task.recover.gone",
    "task.exit.seen",
    "task.exit.drained",
    "task.stop.asked",
    "task.stop.signalled",
    "task.stop.killed",
    "task.destroy.removing",
    "task.destroy.removed",
    "image.pull.begun",
    "image.pull.done",
    "reaper.found",
    "log.route.opened",
    "log.route.followed",
    "log.route.finishing",
    // Podman
    "log.bridge.opened",
    "log.bridge.moved",
    "log.bridge.stopped",
    "log.pump.read",
    "log.pump.saved",
    "podman.start.prepared",
    "podman.start.spawned",
    "podman.start.ran",
    "podman.start.diagnosing",
    "podman.start.replacing",
    "podman.start.replaced",
    "podman.start.second_look",
    "podman.start.removing",
    "podman.start.clearing",
    "podman.start.failed",
    "podman.attach.found",
    "podman.attach.inspecting",
    "podman.exit.seen",
    "podman.exit.asked",
    "podman.exit.answered",
    "podman.remove.spawned",
    "podman.remove.removed",
    "podman.remove.cleaned",
    "podman.pull.spawned",
    "podman.pull.pulled",
    // Apple's container
    "apple.start.prepared",
    "apple.start.environment_written",
    "apple.start.create_spawned",
    "apple.start.created",
    "apple.start.monitor_spawned",
    "apple.start.monitor_launched",
    "apple.start.started",
    "apple.start.namesake",
    "apple.start.replacing",
    "apple.start.removing",
    "apple.start.failed",
    "apple.attach.connecting",
    "apple.attach.running",
    "apple.attach.recorded",
    "apple.exit.read",
    "apple.exit.verifying",
    "apple.exit.told",
    "apple.exit.delivered",
    "apple.deliver.spawned",
    "apple.stop.spawned",
    "apple.remove.spawned",
    "apple.remove.deleted",
    "apple.remove.dismissed",
    "apple.remove.cleaned",
    "apple.pull.marked",
    "apple.pull.logged_in",
    "apple.pull.spawned",
    "apple.pull.pulled",
    "apple.pull.logged_out",
    // its monitor
    "monitor.start.locked",
    "monitor.start.listening",
    "monitor.start.forked",
    "monitor.start.detached",
    "monitor.start.spawned",
    "monitor.log.read",
    "monitor.log.written",
    "monitor.log.spooled",
    "monitor.log.unspooled",
    "monitor.log.taken_back",
    "monitor.exit.reaped",
    "monitor.exit.drained",
    "monitor.exit.written",
    "monitor.exit.renamed",
    "monitor.exit.said",
    "monitor.exit.synced",
    "monitor.end.delivered",
    "monitor.end.unlinked",
};

// The position of a name in the list.
class CrashPoint {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor,hicpp-explicit-conversions): written as its name
  consteval CrashPoint(const char* name) : index_{find(name)} {}
  constexpr std::size_t index() const { return index_; }

 private:
  static consteval std::size_t find(const char* name) {
    for (std::size_t i = 0; i < std::size(kCrashPoints); ++i) {
      if (std::string_view{kCrashPoints[i]} == name) return i;
    }
    throw "the list has no such crash point";
  }
  std::size_t index_;
};

#ifdef NDC_CRASH_POINTS

// Environment variables by which a test arms a point; children inherit them.
//   NDC_CRASH_AT   "<point> <occurrence> kill|stop"; the point "*" with "stop" means each point,
//                  `occurrence` times at most
//   NDC_CRASH_LOG  a file; "<process id> <point>\n" is added to it when the armed point is reached.
//                  A single point that it names already is not armed any more
inline constexpr const char* kCrashAt = "NDC_CRASH_AT";
inline constexpr const char* kCrashLog = "NDC_CRASH_LOG";

// The program is here. Where that is armed, SIGKILL or SIGSTOP to the whole process follows at
// once. Any thread; no allocation, no library: the monitor has points too.
void crash_point(CrashPoint point);

#else

inline void crash_point(CrashPoint) {}

#endif

}  // namespace ndc
