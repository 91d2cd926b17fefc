#include "runtime/cgroup_linux.hpp"

#include <unistd.h>

#include <charconv>
#include <utility>
#include <vector>

#include "runtime/podman_files.hpp"
#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t end = text.find(separator);
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::uint64_t out = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || result.ec != std::errc{} || result.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return out;
}

std::optional<std::uint64_t> read_number(const std::string& path) {
  const auto text = read_file(path);
  return text ? to_number(*text) : std::nullopt;
}

// Empty where the file is missing.
std::map<std::string, std::uint64_t> read_keyed(const std::string& path) {
  const auto text = read_file(path);
  return text ? parse_flat_keyed(*text) : std::map<std::string, std::uint64_t>{};
}

std::optional<std::uint64_t> field(const std::map<std::string, std::uint64_t>& fields,
                                   const char* name) {
  const auto found = fields.find(name);
  if (found == fields.end()) return std::nullopt;
  return found->second;
}

template <class Unit>
std::optional<nanoseconds> duration(std::optional<std::uint64_t> value) {
  constexpr auto kMost = std::chrono::duration_cast<Unit>(nanoseconds::max()).count();
  if (!value || *value > static_cast<std::uint64_t>(kMost)) return std::nullopt;
  return nanoseconds{Unit{static_cast<std::int64_t>(*value)}};
}

std::optional<nanoseconds> clock_ticks(std::optional<std::uint64_t> value) {
  static const long per_second = ::sysconf(_SC_CLK_TCK);
  if (!value || per_second <= 0) return std::nullopt;
  const std::int64_t tick = 1'000'000'000 / per_second;
  if (*value > static_cast<std::uint64_t>(nanoseconds::max().count() / tick)) return std::nullopt;
  return nanoseconds{static_cast<std::int64_t>(*value) * tick};
}

void read_unified(const std::string& directory, UsageSample& sample) {
  const auto cpu = read_keyed(directory + "/cpu.stat");
  sample.cpu_total = duration<microseconds>(field(cpu, "usage_usec"));
  sample.cpu_user = duration<microseconds>(field(cpu, "user_usec"));
  sample.cpu_system = duration<microseconds>(field(cpu, "system_usec"));
  sample.throttled_periods = field(cpu, "nr_throttled");
  sample.throttled_time = duration<microseconds>(field(cpu, "throttled_usec"));
  const auto memory = read_keyed(directory + "/memory.stat");
  sample.memory_usage = read_number(directory + "/memory.current");
  sample.memory_rss = field(memory, "anon");
  sample.memory_cache = field(memory, "file");
  sample.memory_kernel = field(memory, "kernel");
  sample.memory_max = read_number(directory + "/memory.peak");
  sample.memory_swap = read_number(directory + "/memory.swap.current");
}

void read_v1(const CgroupFiles& files, UsageSample& sample) {
  if (!files.cpuacct.empty()) {
    sample.cpu_total = duration<nanoseconds>(read_number(files.cpuacct + "/cpuacct.usage"));
    const auto split_times = read_keyed(files.cpuacct + "/cpuacct.stat");
    sample.cpu_user = clock_ticks(field(split_times, "user"));
    sample.cpu_system = clock_ticks(field(split_times, "system"));
  }
  if (!files.cpu.empty()) {
    const auto cpu = read_keyed(files.cpu + "/cpu.stat");
    sample.throttled_periods = field(cpu, "nr_throttled");
    sample.throttled_time = duration<nanoseconds>(field(cpu, "throttled_time"));
  }
  if (!files.memory.empty()) {
    const auto memory = read_keyed(files.memory + "/memory.stat");
    sample.memory_usage = read_number(files.memory + "/memory.usage_in_bytes");
    sample.memory_max = read_number(files.memory + "/memory.max_usage_in_bytes");
    sample.memory_kernel = read_number(files.memory + "/memory.kmem.usage_in_bytes");
    sample.memory_rss = field(memory, "total_rss");
    sample.memory_cache = field(memory, "total_cache");
    sample.memory_swap = field(memory, "total_swap");
    if (!sample.memory_rss) sample.memory_rss = field(memory, "rss");
    if (!sample.memory_cache) sample.memory_cache = field(memory, "cache");
    if (!sample.memory_swap) sample.memory_swap = field(memory, "swap");
  }
}

}  // namespace

std::map<std::string, CgroupMount> parse_cgroup_mounts(std::string_view mountinfo) {
  std::map<std::string, CgroupMount> out;
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto before = split(line.substr(0, dash), ' ');
    const auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const CgroupMount mount{std::string{before[4]}, std::string{before[3]}};
    if (after[0] == "cgroup2") out.emplace("", mount);
    if (after[0] != "cgroup") continue;
    for (const std::string_view option : split(after[2], ',')) {
      if (option != "rw" && option != "ro") out.emplace(std::string{option}, mount);
    }
  }
  return out;
}

std::map<std::string, std::string> parse_cgroup_paths(std::string_view text) {
  std::map<std::string, std::string> out;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string path{line.substr(second + 1)};
    for (const auto controller : split(line.substr(first + 1, second - first - 1), ',')) {
      out.emplace(std::string{controller}, path);
    }
  }
  return out;
}

std::map<std::string, std::uint64_t> parse_flat_keyed(std::string_view text) {
  std::map<std::string, std::uint64_t> out;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    if (const auto value = to_number(line.substr(space + 1))) {
      out.emplace(std::string{line.substr(0, space)}, *value);
    }
  }
  return out;
}

std::vector<pid_t> parse_processes(std::string_view text) {
  std::vector<pid_t> out;
  for (const std::string_view line : split(text, '\n')) {
    const auto pid = to_number(line);
    if (pid && *pid > 0 && std::in_range<pid_t>(*pid)) out.push_back(static_cast<pid_t>(*pid));
  }
  return out;
}

CgroupFiles cgroup_files(const std::map<std::string, CgroupMount>& mounts,
                         const std::map<std::string, std::string>& paths) {
  const auto directory = [&](const std::string& controller) -> std::string {
    const auto mount = mounts.find(controller);
    const auto path = paths.find(controller);
    if (mount == mounts.end() || path == paths.end()) return {};
    std::string_view relative = path->second;
    // Where only a part of the hierarchy is mounted (a container of its own), paths begin above it.
    const std::string& root = mount->second.root;
    if (root != "/" && relative.starts_with(root) &&
        (relative.size() == root.size() || relative[root.size()] == '/')) {
      relative.remove_prefix(root.size());
    }
    return mount->second.point + std::string{relative};
  };
  CgroupFiles out;
  out.cpu = directory("cpu");
  out.cpuacct = directory("cpuacct");
  out.memory = directory("memory");
  out.blkio = directory("blkio");
  out.pids = directory("pids");
  if (out.cpuacct.empty() && out.memory.empty()) out.unified = directory("");
  return out;
}

Expected<CgroupFiles> find_cgroup(pid_t pid, const std::string& container_id) {
  const Error gone{ErrorCode::kContainerGone,
                   "read the usage of container",
                   container_id,
                   "its process has ended",
                   {}};
  if (pid <= 0 || !is_container_id(container_id)) return fail(gone);
  const auto paths = read_file("/proc/" + std::to_string(pid) + "/cgroup");
  if (!paths || paths->find(container_id) == std::string::npos) return fail(gone);
  const auto mounts = read_file("/proc/self/mountinfo");
  return cgroup_files(parse_cgroup_mounts(mounts.value_or("")), parse_cgroup_paths(*paths));
}

namespace {

// Where each path is in ContainerRef::state.
constexpr std::pair<const char*, std::string CgroupFiles::*> kSavedPaths[] = {
    {"cgroup_unified", &CgroupFiles::unified}, {"cgroup_cpu", &CgroupFiles::cpu},
    {"cgroup_cpuacct", &CgroupFiles::cpuacct}, {"cgroup_memory", &CgroupFiles::memory},
    {"cgroup_blkio", &CgroupFiles::blkio},     {"cgroup_pids", &CgroupFiles::pids}};

}  // namespace

void save_cgroup(const CgroupFiles& files, ContainerRef& container) {
  for (const auto& [key, path] : kSavedPaths) {
    if (!(files.*path).empty()) container.state[key] = files.*path;
  }
}

std::optional<CgroupFiles> saved_cgroup(const ContainerRef& container) {
  CgroupFiles out;
  bool found = false;
  if (!is_container_id(container.id)) return std::nullopt;
  for (const auto& [key, path] : kSavedPaths) {
    const auto saved = container.state.find(key);
    if (saved == container.state.end()) continue;
    const std::string& text = saved->second;
    if (!text.starts_with('/') || text.find("/..") != std::string::npos ||
        text.find(container.id) == std::string::npos) {
      return std::nullopt;
    }
    out.*path = text;
    found = true;
  }
  if (!found) return std::nullopt;
  return out;
}

std::vector<pid_t> container_processes(const ContainerRef& container) {
  const auto files = saved_cgroup(container);
  if (!files) return {};
  const std::string& directory = !files->unified.empty() ? files->unified : files->memory;
  return parse_processes(read_file(directory + "/cgroup.procs").value_or(""));
}

std::optional<std::uint64_t> oom_kills(const CgroupFiles& files) {
  const std::string path = !files.unified.empty()  ? files.unified + "/memory.events"
                           : !files.memory.empty() ? files.memory + "/memory.oom_control"
                                                   : std::string{};
  return path.empty() ? std::nullopt : field(read_keyed(path), "oom_kill");
}

Expected<UsageSample> read_usage(const CgroupFiles& files) {
  UsageSample sample;
  sample.at = std::chrono::system_clock::now();
  sample.taken = std::chrono::steady_clock::now();
  if (!files.unified.empty()) {
    read_unified(files.unified, sample);
  } else {
    read_v1(files, sample);
  }
  if (!sample.cpu_total && !sample.memory_usage) {
    return fail(
        {ErrorCode::kContainerGone, "read usage", {}, "the container's cgroup is gone", {}});
  }
  return sample;
}

}  // namespace ndc::runtime
