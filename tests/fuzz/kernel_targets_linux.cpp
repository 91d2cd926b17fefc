// The kernel's texts: cgroups and processes.

#include <string>

#include "runtime/cgroup_linux.hpp"
#include "runtime/io_usage_linux.hpp"
#include "runtime/mount_guard_linux.hpp"
#include "runtime/port_owner_linux.hpp"
#include "runtime/proc_linux.hpp"
#include "targets.hpp"

namespace ndc::runtime {
namespace {

// Mounts and paths with a NUL byte in between.
void cgroup(std::string_view input) {
  const std::size_t end = input.find('\0');
  const auto mounts = parse_cgroup_mounts(input.substr(0, end));
  const auto paths = parse_cgroup_paths(end == std::string_view::npos ? std::string_view{}
                                                                      : input.substr(end + 1));
  cgroup_files(mounts, paths);
  parse_flat_keyed(input);
  ContainerRef container{"n", std::string(64, 'a'), {{"cgroup_memory", std::string{input}}}};
  if (const auto saved = saved_cgroup(container)) {
    fuzz::require(saved->memory.find(container.id) != std::string::npos &&
                      saved->memory.find("/..") == std::string::npos,
                  "a saved cgroup is the container's");
  }
}

void proc(std::string_view input) {
  parse_stat(input);
  parse_fib_trie(input);
  parse_io(input);
  parse_io_stat(input);
  parse_blkio(input);
  parse_net_dev(input);
  identity_of(input, "/srv/data");
  missing_mounts(input, "/", {{"8:1", "/srv/data"}});
  if (const auto port = parse_taken_port(input)) parse_port_sockets(input, *port);
}

}  // namespace
}  // namespace ndc::runtime

namespace ndc::fuzz {

std::vector<Target> linux_targets() {
  return {{"cgroup", runtime::cgroup}, {"proc", runtime::proc}};
}

}  // namespace ndc::fuzz
