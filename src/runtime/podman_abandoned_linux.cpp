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
bool belongs_to(pid_t pid, const PodmanFiles& files, const std::string& container_id) {
  const auto arguments = process_arguments(pid);
  return std::find(arguments.begin(), arguments.end(), files.conmon_pid_file()) !=
             arguments.end() ||
         in_container(pid, container_id);
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
bool end_those_of(const PodmanFiles& files, const std::string& container_id) {
  bool found = false;
  // All processes are looked at: where the disk was full conmon could not write down its process
  // id, and what runs on is the half of it that nobody waits for.
  for (const pid_t pid : all_processes()) {
    if (!belongs_to(pid, files, container_id)) continue;
    const UniqueFd pidfd = open_pidfd(pid);
    // Again, now that the number can no longer become another process's.
    if (!pidfd || !belongs_to(pid, files, container_id)) continue;
    spdlog::warn("ending process {}, which a broken start left of {}", pid, files.directory());
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

void end_abandoned(const PodmanFiles& files, const std::string& container_id) {
  // One that forked meanwhile is there the next time.
  for (int round = 0; round < kRounds && end_those_of(files, container_id); ++round) {
  }
}

}  // namespace ndc::runtime
