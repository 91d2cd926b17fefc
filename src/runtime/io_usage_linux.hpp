// What a container has moved through block devices and its network, and how many processes it has:
// from the kernel's own files, for the metrics endpoint. Starts no process. The functions that
// read text are pure.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/usage.hpp"
#include "runtime/cgroup_linux.hpp"

namespace ndc::runtime {

struct ByteCounts {
  std::uint64_t in = 0;   // read, or received
  std::uint64_t out = 0;  // written, or sent
  bool operator==(const ByteCounts&) const = default;
};

// All devices of cgroup v2's io.stat: "8:0 rbytes=1 wbytes=2 rios=3 …".
ByteCounts parse_io_stat(std::string_view text);
// All devices of v1's blkio.throttle.io_service_bytes: "8:0 Read 1", ….
ByteCounts parse_blkio(std::string_view text);
// All interfaces of /proc/<pid>/net/dev but loopback.
ByteCounts parse_net_dev(std::string_view text);

// Fills in what there is. The network stays empty where it is not the container's own: with
// network_mode "host" the figures would be the node's. `pid` is the container's first process.
void read_io_usage(const CgroupFiles& files, pid_t pid, const std::string& container_id,
                   UsageSample& sample);

}  // namespace ndc::runtime
