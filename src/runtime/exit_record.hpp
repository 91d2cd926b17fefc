// How the CLI that a monitor holds has ended, as text on the disk. Pure. Part of the monitor: it
// needs nothing but libc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ndc::runtime {

// Raw, not yet what it says about the task.
struct ExitRecord {
  enum class Kind { kExited, kSignalled, kNotSpawned };
  Kind kind = Kind::kExited;
  int value = 0;              // exit code, signal, or errno
  std::int64_t at_ms = 0;     // Unix time
  std::string stderr_tail{};  // last bytes of its stderr; empty with a terminal
  bool operator==(const ExitRecord&) const = default;
};

// Ends with a sum of everything before: a record that is damaged must not tell another exit.
std::string exit_record_text(const ExitRecord& record);

// nullopt for what is cut off, damaged, of a newer version, or names an exit that there cannot be.
// An earlier driver's ends without a sum. What follows the sum is passed over.
std::optional<ExitRecord> parse_exit_record(std::string_view text);

}  // namespace ndc::runtime
