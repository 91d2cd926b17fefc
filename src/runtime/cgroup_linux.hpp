// A container's resource usage from the kernel's own files: cgroup v2, or v1 and hybrid. Starts no
// process. The functions that read text are pure.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "model/task_handle.hpp"
#include "model/usage.hpp"

namespace ndc::runtime {

// Mount points of /proc/self/mountinfo: key "" for cgroup v2, else a v1 controller.
struct CgroupMount {
  std::string point;
  std::string root;  // what of the hierarchy is mounted there; "/" as a rule
};
std::map<std::string, CgroupMount> parse_cgroup_mounts(std::string_view mountinfo);

// /proc/<pid>/cgroup: path by controller, key "" for v2.
std::map<std::string, std::string> parse_cgroup_paths(std::string_view text);

// "key value\n" lines; what is no number is left out.
std::map<std::string, std::uint64_t> parse_flat_keyed(std::string_view text);

// cgroup.procs. A process of another namespace is shown as 0, and is none.
std::vector<pid_t> parse_processes(std::string_view text);

// Where one container's files are; empty: no such controller.
struct CgroupFiles {
  std::string unified;
  std::string cpu;
  std::string cpuacct;
  std::string memory;
  std::string blkio = {};
  std::string pids = {};
};

CgroupFiles cgroup_files(const std::map<std::string, CgroupMount>& mounts,
                         const std::map<std::string, std::string>& paths);

// The cgroup of `pid`, if it belongs to the container; kContainerGone otherwise.
Expected<CgroupFiles> find_cgroup(pid_t pid, const std::string& container_id);

// The same for later, in the container's reference: it saves two files of /proc at each sample, and
// the cgroup can still be read when the process has just ended.
void save_cgroup(const CgroupFiles& files, ContainerRef& container);
// nullopt where the reference has none. It comes from disk: only paths that name the container
// count.
std::optional<CgroupFiles> saved_cgroup(const ContainerRef& container);

// The processes of a container whose cgroup was saved, its first one first; empty where it is gone.
std::vector<pid_t> container_processes(const ContainerRef& container);

// How many processes the kernel killed for want of memory; nullopt where the cgroup is no more.
std::optional<std::uint64_t> oom_kills(const CgroupFiles& files);

// kContainerGone where the cgroup is no more.
Expected<UsageSample> read_usage(const CgroupFiles& files);

}  // namespace ndc::runtime
