// What a helper needs to know to start a workload: a record boiled down, so that nothing of JSON is
// left in a process of which there may be a thousand.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "standin/json.hpp"
#include "standin/store.hpp"

namespace standin {

struct PlannedMount {
  enum class Kind { bind, tmpfs };
  Kind kind = Kind::bind;
  std::string source;
  std::string destination;
  std::vector<std::string> options;
};

struct PlannedPort {
  std::string address;
  unsigned host = 0;
  unsigned container = 0;
  bool udp = false;
};

struct PlannedSocket {
  std::string host;    // where the machine's helper listens
  std::string target;  // the workload's own, as a path of this machine
};

struct Plan {
  std::string id;
  std::string directory;  // the container's, in the state directory
  std::vector<std::string> words;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;  // NAME|UID[:GROUP|GID], empty for uid and gid
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  std::vector<std::pair<int, rlimit>> limits;
  std::string rootfs;  // empty: the workload sees this machine's files
  std::vector<PlannedMount> mounts;
  std::vector<PlannedPort> ports;
  std::vector<PlannedSocket> sockets;
  std::vector<std::string> cap_add;
  std::vector<std::string> cap_drop;
  std::string resolv_conf;
  uint64_t shm_bytes = 0;
  bool every_capability = false;  // 0.11.0
  bool tty = false;
  bool read_only = false;
  bool use_init = false;
  bool own_network = false;  // instead of this machine's
  bool remove_after = false;
  pid_t join = 0;  // of an exec: the workload whose sandbox it enters
};

/// When `starting`, throws CliError(1) for a mount source that is gone.
Plan plan_container(const Store& store, const Json& record, bool starting);

/// Fills in PATH, HOME and TERM as the guest does.
void complete_env(Plan* plan);

}  // namespace standin
