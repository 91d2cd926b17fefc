#include "runtime/podman_abandoned_linux.hpp"

#include <algorithm>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include <spdlog/spdlog.h>

#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

constexpr int kRounds = 5;

using Belongs = std::function<bool(pid_t)>;

bool lives_in(pid_t pid, const std::string& container_id) {
  if (!is_container_id(container_id) || !in_container(pid, container_id)) return false;
  const auto stat = process_stat(pid);
  return stat && stat->state != 'Z';  // one that is dead has its cgroup until it is reaped
}

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
bool end_all(const Belongs& belongs) {
  bool found = false;
  // All processes are looked at: where the disk was full conmon could not write down its process
  // id, and what runs on is the half of it that nobody waits for.
  for (const pid_t pid : all_processes()) {
    if (!belongs(pid)) continue;
    const UniqueFd pidfd = open_pidfd(pid);
    // Again, now that the number can no longer become another process's.
    if (!pidfd || !belongs(pid)) continue;
    spdlog::warn("ending process {}, which a broken start left", pid);
    found = true;
    const auto family = with_descendants(pid);
    signal_pidfd(pidfd, SIGKILL);
    for (const pid_t other : family) {
      if (other != pid) ::kill(other, SIGKILL);
    }
  }
  return found;
}

void end_until_none(const Belongs& belongs) {
  // One that forked meanwhile is there the next time.
  for (int round = 0; round < kRounds && end_all(belongs); ++round) {
  }
}

}  // namespace

void end_abandoned(const PodmanFiles& files, const std::string& container_id) {
  end_until_none(
      [&](pid_t pid) { return is_conmon_of(pid, files) || lives_in(pid, container_id); });
}

void end_abandoned(const std::string& container_id) {
  end_until_none([&](pid_t pid) { return lives_in(pid, container_id); });
}

}  // namespace ndc::runtime
