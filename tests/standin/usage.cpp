#include "standin/usage.hpp"

#include <unordered_map>

namespace standin {

std::vector<Usage> measure(const std::vector<std::pair<std::string, pid_t>>& helpers) {
  std::vector<Usage> usages(helpers.size());
  std::unordered_map<pid_t, size_t> owners;
  for (size_t i = 0; i < helpers.size(); ++i) {
    owners[helpers[i].second] = i;
    usages[i] = {0, 0, 0, std::nullopt, std::nullopt};
  }
  const auto processes = all_processes();
  std::unordered_map<pid_t, pid_t> parents;
  for (const auto& process : processes) parents[process.pid] = process.parent;
  for (const auto& process : processes) {
    if (process.ours) continue;
    pid_t at = process.parent;
    for (int depth = 0; depth < 64 && at > 1; ++depth) {
      if (const auto owner = owners.find(at); owner != owners.end()) {
        auto& usage = usages[owner->second];
        *usage.cpu_usec += process.cpu_usec;
        *usage.memory_bytes += process.memory_bytes;
        ++*usage.processes;
        break;
      }
      const auto parent = parents.find(at);
      at = parent == parents.end() ? 0 : parent->second;
    }
  }
  return usages;
}

}  // namespace standin
