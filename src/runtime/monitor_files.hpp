// What a monitor leaves on disk and how it is read: the contract between the monitor process and
// the plugin. Plain data and file calls only: the monitor itself is built on this header and must
// stay small.
//
//   <directory>/lock       held (flock) while the monitor lives; holds its process id
//   <directory>/exit       the exit record; appears once, whole, and is on the disk before the
//                          monitor ends
//   <directory>/spool.out  what the log collector has not taken yet (monitor_spool.hpp); found by
//   <directory>/spool.err  the monitor of the task's next attempt, delivered first
//
// What is said on the socket is in monitor_lines.hpp.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/exit_record.hpp"

namespace ndc::runtime {

inline constexpr const char* kMonitorLock = "lock";
inline constexpr const char* kMonitorExit = "exit";
inline constexpr const char* kMonitorSpoolOut = "spool.out";
inline constexpr const char* kMonitorSpoolErr = "spool.err";

// What the attached CLI's standard streams are. An open stdin has nothing to say and never ends.
enum class MonitorStreams { kPipes, kPipesAndStdin, kTerminal };
inline constexpr const char* kMonitorStdin = "--stdin";
inline constexpr const char* kMonitorTerminal = "--tty";

// Puts `<directory>/exit` in its place, whole: whoever dies from now on, it can be read. False
// (errno) if it could not.
bool write_exit_record(const char* directory, const ExitRecord& record);
// Waits until the record is on the disk. False (errno) if it may not be: it is to be written again.
bool sync_exit_record(const char* directory);

// What a look for the record tells.
struct RecordLook {
  std::optional<ExitRecord> record{};
  bool known = true;     // false: it could not be looked at, for want of a descriptor say
  bool damaged = false;  // something is in its place that is no record
};

// A file that is no record, as a host that lost its power may leave one, or that is not this user's
// counts as damaged: it tells that there was an exit, and not which.
RecordLook look_for_exit_record(const std::string& directory);
// nullopt: there is none, or that cannot be told now.
inline std::optional<ExitRecord> read_exit_record(const std::string& directory) {
  return look_for_exit_record(directory).record;
}

// The process id of the monitor that holds the directory's lock; 0 if none does, negative if that
// cannot be told now, or if one does that is not named there. Its record is to be looked for after
// this, not before: it may end in between.
pid_t living_monitor(const std::string& directory);

// The process id in a lock's file; negative where there is none.
pid_t parse_monitor_lock(std::string_view text);

// How many bytes the spools hold that the collector has not got.
std::uint64_t spooled(const std::string& directory);
inline bool has_spooled(const std::string& directory) { return spooled(directory) > 0; }

// The names of the spools whose bytes cannot be made out any more (Spool::damaged()), for a
// message; empty: none. Not while a monitor lives, which may be about to begin one.
std::string damaged_spools(const std::string& directory);

}  // namespace ndc::runtime
