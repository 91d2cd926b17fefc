#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "standin/usage.hpp"

namespace standin {

std::vector<ProcessUsage> all_processes() {
  std::vector<ProcessUsage> list;
  FILE* table = popen("ps -A -o pid= -o ppid= -o rss= -o time= -o comm=", "r");
  if (table == nullptr) return list;
  std::vector<std::string> programs;
  std::string own;
  std::array<char, 1024> line;
  while (std::fgets(line.data(), line.size(), table) != nullptr) {
    long pid = 0;
    long parent = 0;
    unsigned long long kib = 0;
    char time[64] = {};
    int before = 0;
    if (std::sscanf(line.data(), "%ld %ld %llu %63s %n", &pid, &parent, &kib, time, &before) != 4) {
      continue;
    }
    programs.emplace_back(line.data() + before);
    if (pid == getpid()) own = programs.back();
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
  for (size_t i = 0; i < list.size(); ++i) list[i].ours = programs[i] == own;
  return list;
}

}  // namespace standin
