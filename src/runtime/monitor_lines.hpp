// What plugin and monitor say to each other on the monitor's socket, a line at a time. Pure, and
// anything may come. Part of the monitor: no allocation.
//
// Monitor: "running <pid of the CLI>", "exit" (the record is there), "delivered" (the collector has
// everything). Plugin: "resize <rows> <columns>", "quit" (the container is gone: end now), and
// before it "keep" (what the FIFOs hold then goes back into the spools, for a successor to deliver;
// without it that is left to whoever else has the FIFOs open).
#pragma once

#include <sys/types.h>

#include <string_view>

namespace ndc::runtime {

// What the plugin hears.
struct MonitorNews {
  enum class Kind { kNone, kRunning, kExit, kDelivered };
  Kind kind = Kind::kNone;
  pid_t cli = 0;  // of kRunning; 0 where that is not known
};
MonitorNews parse_monitor_news(std::string_view line);

// What the monitor is told to do.
struct MonitorOrder {
  enum class Kind { kNone, kResize, kKeep, kQuit };
  Kind kind = Kind::kNone;
  int rows = 0;  // with kResize both are from 1 to 9999
  int columns = 0;
};
MonitorOrder parse_monitor_order(std::string_view line);

}  // namespace ndc::runtime
