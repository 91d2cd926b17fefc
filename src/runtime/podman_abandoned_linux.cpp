#include "runtime/podman_abandoned_linux.hpp"

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include <spdlog/spdlog.h>

#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

constexpr int kRounds = 5;

// The file's path is in conmon's command line: nobody else's conmon has it.
bool is_conmon_of(pid_t pid, const PodmanFiles& files) {
  const auto arguments = process_arguments(pid);
  return std::find(arguments.begin(), arguments.end(), files.conmon_pid_file()) != arguments.end();
}

// `pid`, its children and theirs.
std::vector<pid_t> with_descendants(pid_t pid) {
  std::vector<pid_t> family{pid};
  const auto all = all_processes();
  for (std::size_t i = 0; i < family.size(); ++i) {
    for (const pid_t other : all) {
      const auto stat = process_stat(other);
      if (stat && stat->parent == family[i]) family.push_back(other);
    }
  }
  return family;
}

// Kills those that there are now; false where there were none.
bool end_those_of(const PodmanFiles& files) {
  bool found = false;
  // All processes are looked at: where the disk was full conmon could not write down its process
  // id, and what runs on is the half of it that nobody waits for.
  for (const pid_t pid : all_processes()) {
    if (!is_conmon_of(pid, files)) continue;
    const UniqueFd pidfd = open_pidfd(pid);
    // Again, now that the number can no longer become another process's.
    if (!pidfd || !is_conmon_of(pid, files)) continue;
    spdlog::warn("ending conmon {}, which a broken start left in {}", pid, files.directory());
    found = true;
    const auto family = with_descendants(pid);
    signal_pidfd(pidfd, SIGKILL);
    for (const pid_t other : family) {
      if (other != pid) ::kill(other, SIGKILL);
    }
  }
  return found;
}

}  // namespace

void end_abandoned(const PodmanFiles& files) {
  // One that forked meanwhile is there the next time.
  for (int round = 0; round < kRounds && end_those_of(files); ++round) {
  }
}

}  // namespace ndc::runtime
