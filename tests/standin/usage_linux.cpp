#include <dirent.h>
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "standin/files.hpp"
#include "standin/usage.hpp"

namespace standin {
namespace {

// What stat(5) has in its parentheses.
std::string name_in(const std::string& stat) {
  const auto open = stat.find('(');
  const auto close = stat.rfind(')');
  return open < close && close != std::string::npos ? stat.substr(open, close - open) : "";
}

}  // namespace

std::vector<ProcessUsage> all_processes() {
  std::vector<ProcessUsage> list;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return list;
  const auto tick_usec = static_cast<uint64_t>(1000000 / sysconf(_SC_CLK_TCK));
  const std::string own = name_in(read_file("/proc/self/stat").value_or(""));
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  while (const dirent* entry = readdir(proc)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    const auto text = read_file(std::string("/proc/") + entry->d_name + "/stat");
    if (!text) continue;
    const auto close = text->rfind(')');
    if (close == std::string::npos) continue;
    char state = 0;
    long parent = 0;
    unsigned long long user = 0;
    unsigned long long kernel = 0;
    unsigned long long waited_user = 0;
    unsigned long long waited_kernel = 0;
    unsigned long long pages = 0;
    if (std::sscanf(text->c_str() + close + 1,
                    " %c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu %*d %*d %*d "
                    "%*d %*u %*u %llu",
                    &state, &parent, &user, &kernel, &waited_user, &waited_kernel, &pages) != 7) {
      continue;
    }
    list.push_back({static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10)),
                    static_cast<pid_t>(parent),
                    (user + kernel + waited_user + waited_kernel) * tick_usec, pages * page,
                    name_in(*text) == own});
  }
  closedir(proc);
  return list;
}

}  // namespace standin
