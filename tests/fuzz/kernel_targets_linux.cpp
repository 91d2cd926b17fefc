// The kernel's texts, and those of conmon, the OCI runtime and handles that only Linux has:
// cgroups, processes, hooks.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/task_handle.hpp"
#include "runtime/cgroup_linux.hpp"
#include "runtime/conmon_linux.hpp"
#include "runtime/doctor_checks.hpp"
#include "runtime/io_usage_linux.hpp"
#include "runtime/mount_guard_linux.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_peer_linux.hpp"
#include "runtime/port_owner_linux.hpp"
#include "runtime/proc_linux.hpp"
#include "runtime/state_directory.hpp"
#include "scratch.hpp"
#include "targets.hpp"

namespace ndc::runtime {
namespace {

bool is_whole_path(std::string_view text) {
  return text.starts_with('/') && text.find('\0') == std::string_view::npos;
}

// Mounts and paths with a NUL byte in between.
void cgroup(std::string_view input) {
  const std::size_t end = input.find('\0');
  const auto mounts = parse_cgroup_mounts(input.substr(0, end));
  const auto paths = parse_cgroup_paths(end == std::string_view::npos ? std::string_view{}
                                                                      : input.substr(end + 1));
  cgroup_files(mounts, paths);
  parse_flat_keyed(input);
  for (const pid_t pid : parse_processes(input)) fuzz::require(pid > 0, "a pid is one");
  ContainerRef container{"n", std::string(64, 'a'), {{"cgroup_memory", std::string{input}}}};
  if (const auto saved = saved_cgroup(container)) {
    fuzz::require(saved->memory.find(container.id) != std::string::npos &&
                      saved->memory.find("/..") == std::string::npos,
                  "a saved cgroup is the container's");
  }
}

// The input is each file of a cgroup, of both hierarchies.
void cgroup_usage(std::string_view input) {
  static const fuzz::Scratch scratch;
  static const std::string text = scratch / "text";
  static const bool linked = [] {
    for (const char* name :
         {"cpu.stat", "memory.stat", "memory.current", "memory.peak", "memory.swap.current",
          "memory.events", "pids.current", "io.stat", "cpuacct.usage", "cpuacct.stat",
          "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.kmem.usage_in_bytes",
          "memory.oom_control", "blkio.throttle.io_service_bytes"}) {
      std::filesystem::create_symlink(text, scratch / name);
    }
    return true;
  }();
  fuzz::require(linked, "there are files");
  std::ofstream{text, std::ios::binary | std::ios::trunc} << input;
  const std::string here = scratch / ".";
  for (const CgroupFiles& files :
       {CgroupFiles{here, "", "", "", "", ""}, CgroupFiles{"", here, here, here, here, here}}) {
    oom_kills(files);
    auto usage = read_usage(files);
    if (!usage) continue;
    read_io_usage(files, 0, {}, *usage);
    for (const auto& time :
         {usage->cpu_total, usage->cpu_user, usage->cpu_system, usage->throttled_time}) {
      fuzz::require(!time || time->count() >= 0, "no time is below zero");
    }
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
  parse_socket(input);
  fuzz::require(parse_os_release(input).find('"') == std::string::npos, "a name ends at its quote");
}

// The input is a command line, or what is in conmon's exit file.
void conmon(std::string_view input) {
  const auto code = parse_exit_file(input);
  fuzz::require(!code || (*code >= 0 && *code <= 255), "an exit code is one");
  const std::vector<std::string> arguments = parse_texts(input);
  std::string whole;
  for (const std::string& argument : arguments) whole += argument + '\0';
  if (!input.empty() && input.back() != '\0') whole.pop_back();
  fuzz::require(whole == input, "no argument is lost or made");
  const auto exit_dir = parse_conmon(arguments, std::string(64, 'c'));
  fuzz::require(!exit_dir || exit_dir->empty() || is_whole_path(*exit_dir), "a path is absolute");
  for (const std::string_view name : {std::string_view{"conmon\n"}, input.substr(0, 64)}) {
    const std::string holder = port_holder(42, name, arguments);
    fuzz::require(holder.size() <= 512 && valid_utf8(holder) == holder,
                  "the holder of a port is named in short and as text");
  }
}

// The input is a handle, as Nomad keeps it.
void podman_handle(std::string_view input) {
  const auto handle = decode_handle(input);
  if (!handle) return;
  const ContainerRef& container = handle->container;
  const Conmon conmon = Conmon::from(container);
  fuzz::require(conmon.pid >= 0, "a pid names one process");
  fuzz::require(conmon.exit_dir.empty() || conmon.exit_dir.starts_with('/'), "a path is absolute");
  ContainerRef again{container.name, container.id, {}};
  conmon.save(again);
  const Conmon back = Conmon::from(again);
  fuzz::require(back.pid == conmon.pid && back.start_time == conmon.start_time &&
                    back.exit_dir == conmon.exit_dir,
                "a conmon comes back as it was");
  if (const auto owner = NetworkOwner::from(container)) {
    fuzz::require(is_state_name(owner->name), "the name in a path is one");
    fuzz::require(is_container_id(owner->id), "the id in a command line is one");
  }
  saved_cgroup(container);
}

// What the OCI runtime tells a hook, config.json and mountinfo with NUL bytes in between.
void mount_guard(std::string_view input) {
  const auto part = [&input] {
    const std::size_t end = std::min(input.find('\0'), input.size());
    const std::string_view out = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    return out;
  };
  const auto state = parse_hook_state(part());
  if (!state) return;
  fuzz::require(state->pid >= 0, "a pid names one process");
  fuzz::require(state->bundle.empty() || is_whole_path(state->bundle), "a bundle's path is whole");
  const std::string root = parse_root(part(), state->bundle);
  fuzz::require(root.empty() || is_whole_path(root), "a root's path is whole");
  const std::vector<MountIdentity> wanted{{"8:1", "/srv/data"}, {"8:1", "/srv/data"}};
  fuzz::require(missing_mounts(part(), root, wanted).size() <= wanted.size(),
                "no more is missing than was wanted");
}

}  // namespace
}  // namespace ndc::runtime

namespace ndc::fuzz {

std::vector<Target> linux_targets() {
  return {{"cgroup", runtime::cgroup},
          {"cgroup_usage", runtime::cgroup_usage},
          {"proc", runtime::proc},
          {"conmon", runtime::conmon},
          {"podman_handle", runtime::podman_handle},
          {"mount_guard", runtime::mount_guard}};
}

}  // namespace ndc::fuzz
