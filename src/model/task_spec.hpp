// One task as Nomad describes it, in plain values: identity, environment, resources, mounts, and
// the job's still undecoded `config` block.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/value.hpp"

namespace ndc {

struct PortMapping {
  std::string label;
  int host_port = 0;
  int task_port = 0;  // already resolved: the host port where the job gave no `to`
  std::string host_ip;
};

struct HostMount {
  std::string host_path;
  std::string task_path;
  bool read_only = false;
  std::string propagation;    // "", "private", "host-to-task", "bidirectional"
  std::string selinux_label;  // "", "z", "Z"
};

struct HostDevice {
  std::string host_path;
  std::string task_path;
  std::string permissions;  // subset of "rwm"
};

struct DnsSettings {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;
};

// The network namespace that Nomad made for the group (`network { mode = "bridge" }`).
struct GroupNetwork {
  std::string namespace_path;
  std::string hostname;  // with address: an entry for /etc/hosts; both may be empty
  std::string address;
};

struct TaskResources {
  std::int64_t cpu_mhz = 0;
  std::int64_t memory_mb = 0;
  std::int64_t memory_max_mb = 0;  // 0: not given; -1: no hard limit
  std::string cpuset;              // "0,1" with `cores`, else empty
  double node_share = 0;           // fraction of the node's compute; 0 where unknown
  std::string parent_cgroup;       // the cgroup Nomad made for the task; empty off Linux
};

struct TaskSpec {
  std::string id;  // "<alloc uuid>/<task>/<8 hex>": new for every start attempt
  std::string name;
  std::string alloc_id;
  std::string job_id;
  std::string job_name;
  std::string group_name;
  std::string job_namespace;
  std::string node_id;
  std::string node_name;
  std::string user;  // the job's text, or empty

  std::map<std::string, std::string> env;  // complete, with NOMAD_*
  TaskResources resources;
  std::vector<PortMapping> ports;
  std::vector<HostMount> mounts;
  std::vector<HostDevice> devices;
  std::optional<GroupNetwork> group_network;
  std::optional<DnsSettings> dns;

  std::string alloc_dir;    // host path of the allocation
  std::string stdout_path;  // FIFO, or /dev/null
  std::string stderr_path;

  Value config;  // the job's config block; decode_task_config() reads it

  // Host directories of the task, derived from alloc_dir.
  std::string shared_dir() const { return alloc_dir + "/alloc"; }
  std::string task_dir() const { return alloc_dir + "/" + name; }
};

}  // namespace ndc
