// What /proc tells about a process. Every answer may be out of date when it arrives: callers that
// act on a pid compare its start time and container again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// At most `limit` bytes of a file; nullopt if it cannot be read.
std::optional<std::string> read_file(const std::string& path, std::size_t limit = 1u << 20);

struct ProcessStat {
  char state = '?';
  pid_t parent = 0;
  pid_t session = 0;
  std::uint64_t start_time = 0;  // field 22: clock ticks since boot
};

// The contents of /proc/<pid>/stat; a program's name may hold anything, also ')'.
std::optional<ProcessStat> parse_stat(std::string_view text);
std::optional<ProcessStat> process_stat(pid_t pid);

// The contents of /proc/<pid>/cmdline and environ: texts that end with a NUL byte each.
std::vector<std::string> parse_texts(std::string_view text);
std::vector<std::string> process_arguments(pid_t pid);
std::vector<std::string> process_environment(pid_t pid);
bool in_container(pid_t pid, const std::string& container_id);

// The first address in /proc/<pid>/net/fib_trie that is local and not a loopback one.
std::string parse_fib_trie(std::string_view text);
std::string container_address(pid_t pid);

// Bytes that a process has read and written so far, by any means; nullopt where it is gone.
std::optional<std::uint64_t> parse_io(std::string_view text);
std::optional<std::uint64_t> bytes_moved(pid_t pid);

// Invalid where there is no such process (errno tells).
UniqueFd open_pidfd(pid_t pid);
// 0 or errno.
int signal_pidfd(const UniqueFd& pidfd, int signal);

std::vector<pid_t> all_processes();

}  // namespace ndc::runtime
