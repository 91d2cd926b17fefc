// How a container's process ended. Three-valued on purpose: what is not known is never a number.
#pragma once

#include <chrono>
#include <string>
#include <variant>

namespace ndc {

using WallTime = std::chrono::system_clock::time_point;

struct Exited {
  int code = 0;  // 0–255; 128 + n where the runtime reports death by signal n that way
  bool operator==(const Exited&) const = default;
};

struct Signalled {
  int signal = 0;
  bool operator==(const Signalled&) const = default;
};

struct UnknownExit {
  std::string reason;  // why it cannot be known any more
  bool operator==(const UnknownExit&) const = default;
};

using ExitStatus = std::variant<UnknownExit, Exited, Signalled>;

struct TaskExit {
  ExitStatus status;
  bool oom_killed = false;
  WallTime at{};
  std::string note{};  // what else the user should know of it; may be empty
  bool operator==(const TaskExit&) const = default;
};

// "exit code 3", "signal 9", "exit status unknown: …"; OOM is mentioned.
std::string describe(const TaskExit& exit);

}  // namespace ndc
