#include <array>
#include <cstdio>

#include "standin/usage.hpp"

namespace standin {

std::vector<ProcessUsage> all_processes() {
  std::vector<ProcessUsage> list;
  FILE* table = popen("ps -A -o pid= -o ppid= -o rss= -o time=", "r");
  if (table == nullptr) return list;
  std::array<char, 256> line;
  while (std::fgets(line.data(), line.size(), table) != nullptr) {
    long pid = 0;
    long parent = 0;
    unsigned long long kib = 0;
    char time[64] = {};
    if (std::sscanf(line.data(), "%ld %ld %llu %63s", &pid, &parent, &kib, time) != 4) continue;
    // [[dd-]hh:]mm:ss[.ff]
    double seconds = 0;
    double part = 0;
    int used = 0;
    for (const char* at = time; std::sscanf(at, "%lf%n", &part, &used) == 1; at += used + 1) {
      seconds = seconds * 60 + part;
      if (at[used] == '-') seconds = part * 24;
      if (at[used] == '\0') break;
    }
    list.push_back({static_cast<pid_t>(pid), static_cast<pid_t>(parent),
                    static_cast<uint64_t>(seconds * 1e6), kib * 1024});
  }
  pclose(table);
  return list;
}

}  // namespace standin
