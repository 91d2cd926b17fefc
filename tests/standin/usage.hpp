// What the processes of containers use: from /proc (usage_linux.cpp), else from ps.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace standin {

struct Usage {
  std::optional<uint64_t> cpu_usec;
  std::optional<uint64_t> memory_bytes;
  std::optional<uint64_t> processes;
  std::optional<uint64_t> read_bytes;
  std::optional<uint64_t> write_bytes;
};

struct ProcessUsage {
  pid_t pid = 0;
  pid_t parent = 0;
  uint64_t cpu_usec = 0;
  uint64_t memory_bytes = 0;
  bool ours = false;  // runs the stand-in itself: a helper, or the proxy of its ports
};

/// One pass over all processes, whatever the number of containers. The helper itself and
/// its proxy count for nothing, all else below it counts.
std::vector<Usage> measure(const std::vector<std::pair<std::string, pid_t>>& helpers);

/// Every process of this machine.
std::vector<ProcessUsage> all_processes();

}  // namespace standin
