#include "runtime/io_usage_linux.hpp"

#include <sys/stat.h>

#include <charconv>
#include <initializer_list>

#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

// The next word or line; what is left stays in `text`.
std::string_view next(std::string_view& text, char separator) {
  const std::size_t begin = text.find_first_not_of(separator);
  if (begin == std::string_view::npos) {
    text = {};
    return {};
  }
  text.remove_prefix(begin);
  const std::string_view out = text.substr(0, text.find(separator));
  text.remove_prefix(out.size());
  return out;
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t out = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, out);
  if (result.ec != std::errc{} || result.ptr != end) return std::nullopt;
  return out;
}

bool same_network(pid_t pid) {
  struct stat own {};
  struct stat other {};
  return ::stat("/proc/self/ns/net", &own) == 0 &&
         ::stat(("/proc/" + std::to_string(pid) + "/ns/net").c_str(), &other) == 0 &&
         own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

}  // namespace

ByteCounts parse_io_stat(std::string_view text) {
  ByteCounts out;
  while (!text.empty()) {
    std::string_view line = next(text, '\n');
    while (!line.empty()) {
      const std::string_view word = next(line, ' ');
      const std::size_t equals = word.find('=');
      if (equals == std::string_view::npos) continue;
      const auto value = to_number(word.substr(equals + 1));
      if (value && word.starts_with("rbytes=")) out.in += *value;
      if (value && word.starts_with("wbytes=")) out.out += *value;
    }
  }
  return out;
}

ByteCounts parse_blkio(std::string_view text) {
  ByteCounts out;
  while (!text.empty()) {
    std::string_view line = next(text, '\n');
    next(line, ' ');  // the device
    const std::string_view what = next(line, ' ');
    const auto value = to_number(next(line, ' '));
    if (value && what == "Read") out.in += *value;
    if (value && what == "Write") out.out += *value;
  }
  return out;
}

ByteCounts parse_net_dev(std::string_view text) {
  constexpr int kSent = 8;  // fields after "eth0:": 0 is bytes received, 8 bytes sent
  ByteCounts out;
  while (!text.empty()) {
    const std::string_view line = next(text, '\n');
    const std::size_t colon = line.find(':');  // the two heading lines have none
    if (colon == std::string_view::npos) continue;
    std::string_view name = line.substr(0, colon);
    if (next(name, ' ') == "lo") continue;
    std::string_view fields = line.substr(colon + 1);
    for (int i = 0; i <= kSent; ++i) {
      const auto value = to_number(next(fields, ' '));
      if (value && i == 0) out.in += *value;
      if (value && i == kSent) out.out += *value;
    }
  }
  return out;
}

void read_io_usage(const CgroupFiles& files, pid_t pid, const std::string& container_id,
                   UsageSample& sample) {
  const std::string& pids = files.unified.empty() ? files.pids : files.unified;
  if (auto text = pids.empty() ? std::nullopt : read_file(pids + "/pids.current")) {
    sample.pids = to_number(std::string_view{*text}.substr(0, text->find('\n')));
  }
  std::optional<ByteCounts> block;
  if (!files.unified.empty()) {
    if (const auto text = read_file(files.unified + "/io.stat")) block = parse_io_stat(*text);
  } else if (!files.blkio.empty()) {
    for (const char* name :
         {"/blkio.throttle.io_service_bytes_recursive", "/blkio.throttle.io_service_bytes"}) {
      if (const auto text = read_file(files.blkio + name); text && !block) {
        block = parse_blkio(*text);
      }
    }
  }
  if (block) {
    sample.block_read = block->in;
    sample.block_written = block->out;
  }
  // The number may be another process's by now.
  if (pid <= 0 || !in_container(pid, container_id) || same_network(pid)) return;
  const auto text = read_file("/proc/" + std::to_string(pid) + "/net/dev");
  if (!text) return;
  const ByteCounts network = parse_net_dev(*text);
  sample.network_received = network.in;
  sample.network_sent = network.out;
}

}  // namespace ndc::runtime
