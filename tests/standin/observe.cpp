// inspect, list, logs, stats.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "standin/commands.hpp"
#include "standin/settings.hpp"
#include "standin/text.hpp"
#include "standin/usage.hpp"
#include "standin/view.hpp"

namespace standin {
namespace {

std::string format_of(const Call& call) { return call.parsed.get("--format", "table"); }

// The daemon's map has no order that a caller could rely on.
std::vector<std::string> shuffled(const std::vector<std::string>& ids) {
  std::vector<std::pair<std::string, std::string>> keyed;
  keyed.reserve(ids.size());
  for (const auto& id : ids) keyed.emplace_back(pseudo_digest(id), id);
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::string> result;
  result.reserve(ids.size());
  for (auto& [digest, id] : keyed) result.push_back(std::move(id));
  return result;
}

bool is_hidden(const Store& store, const std::string& id) {
  return forced_state(store, id) == "missing";
}

bool is_utf8(std::string_view text) {
  size_t left = 0;
  for (const char byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if (left > 0) {
      if ((c & 0xC0U) != 0x80U) return false;
      --left;
    } else if (c >= 0x80U) {
      left = (c & 0xE0U) == 0xC0U ? 1 : (c & 0xF0U) == 0xE0U ? 2 : (c & 0xF8U) == 0xF0U ? 3 : 0;
      if (left == 0) return false;
    }
  }
  return left == 0;
}

std::string trim_newlines(const std::string& text) {
  const auto first = text.find_first_not_of('\n');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of('\n') - first + 1);
}

void print_tail(const std::string& text, long count) {
  if (!is_utf8(text)) return;
  std::vector<std::string> lines;
  for (auto& line : split(text, '\n')) {
    if (!line.empty()) lines.push_back(std::move(line));
  }
  const size_t wanted = std::min(lines.size(), static_cast<size_t>(std::max(count, 0L)));
  for (size_t i = lines.size() - wanted; i < lines.size(); ++i) print_line(lines[i]);
}

// Loses what the imitated CLI loses: blank lines, whole chunks that are no UTF-8, and everything
// between the first dump and the first look. Never ends.
[[noreturn]] void follow(const std::string& path) {
  struct stat info {};
  off_t at = stat(path.c_str(), &info) == 0 ? info.st_size : 0;
  while (true) {
    sleep_ms(100);
    if (stat(path.c_str(), &info) != 0) continue;
    if (info.st_size < at) at = info.st_size;
    if (info.st_size == at) continue;
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string chunk(static_cast<size_t>(info.st_size - at), '\0');
    const ssize_t got = pread(fd.get(), chunk.data(), chunk.size(), at);
    if (got <= 0) continue;
    at += got;
    chunk.resize(static_cast<size_t>(got));
    if (!is_utf8(chunk)) continue;
    std::replace(chunk.begin(), chunk.end(), '\r', '\n');
    for (const auto& line : split(chunk, '\n')) {
      if (!line.empty()) print_line(line);
    }
  }
}

}  // namespace

int command_inspect(const Call& call) {
  std::vector<std::string> missing;
  std::vector<std::string> found;
  for (const auto& id : call.parsed.words) {
    const bool there = call.store.exists(id) && !is_hidden(call.store, id);
    (there ? found : missing).push_back(id);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  if (!missing.empty() && !is_old(call.version)) {
    fail("container not found: " + join(missing, ", "));
  }
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  for (const auto& id : shuffled(found)) {
    if (const auto record = call.store.record(id)) {
      list.PushBack(view_container(call.version, call.store, *record, alloc), alloc);
    }
  }
  print_inspection(call, list);
  return 0;
}

int command_list(const Call& call) {
  const bool all = call.parsed.has("--all");
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  std::vector<std::string> ids;
  for (const auto& id : shuffled(call.store.container_ids())) {
    if (is_hidden(call.store, id)) continue;
    const std::string forced = forced_state(call.store, id);
    const bool running = forced.empty() ? call.store.state(id).running : forced == "running";
    if (!all && !running) continue;
    const auto record = call.store.record(id);
    if (!record) continue;
    const auto& labels = (*record)["configuration"]["labels"];
    if (get_string(labels, "com.apple.container.plugin") == "machine") continue;
    ids.push_back(id);
    if (format_of(call) == "json") {
      list.PushBack(view_container(call.version, call.store, *record, alloc), alloc);
    }
  }
  if (format_of(call) == "json") {
    print_json(call, list, false);
  } else if (call.parsed.has("--quiet")) {
    for (const auto& id : ids) print_line(id);
  } else {
    print_line("ID  IMAGE  OS  ARCH  STATE  ADDR");
    for (const auto& id : ids) print_line(id);
  }
  return 0;
}

int command_logs(const Call& call) {
  const std::string& id = call.parsed.words[0];
  if (!call.store.exists(id)) {
    fail("failed to get logs for container " + id + " (cause: \"notFound: \"container with ID " +
         id + " not found\"\")");
  }
  const std::string path =
      call.store.container_path(id) + "/" + (call.parsed.has("--boot") ? "boot.log" : kLogFile);
  const auto text = read_file(path);
  if (!text) {
    fail("failed to open container logs (cause: \"notFound: \"" + id + " has no logs\"\")");
  }
  const bool counted = call.parsed.has("-n");
  const long count = std::strtol(call.parsed.get("-n", "0").c_str(), nullptr, 10);
  const bool following = call.parsed.has("--follow");
  if (counted) {
    print_tail(*text, count);
  } else {
    if (!is_utf8(*text)) fail("failed to convert container logs to utf8");
    const std::string trimmed = trim_newlines(*text);
    if (!trimmed.empty()) print_line(trimmed);
  }
  if (!following || (text->empty() && !(counted && count == 0))) return 0;
  follow(path);
}

int command_stats(const Call& call) {
  std::vector<std::string> ids = call.parsed.words;
  for (const auto& id : ids) {
    if (!call.store.exists(id)) fail("no such container: " + id);
  }
  if (ids.empty()) ids = call.store.container_ids();
  std::vector<std::pair<std::string, pid_t>> running;
  for (const auto& id : shuffled(ids)) {
    const auto state = call.store.state(id);
    if (state.running && !is_hidden(call.store, id)) running.emplace_back(id, state.helper);
  }
  // Two samples, of which JSON shows the second.
  if (!running.empty()) sleep_ms(setting_ms("STATS_MS", 2000));
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  const auto usages = measure(running);
  for (size_t i = 0; i < running.size(); ++i) {
    const auto record = call.store.record(running[i].first);
    if (!record) continue;
    Value one(rapidjson::kObjectType);
    const auto number = [&](const char* key, const std::optional<uint64_t>& value) {
      if (value) put(one, key, Value(*value), alloc);
    };
    put(one, "id", running[i].first, alloc);
    number("cpuUsageUsec", usages[i].cpu_usec);
    number("memoryUsageBytes", usages[i].memory_bytes);
    number("memoryLimitBytes",
           (*record)["configuration"]["resources"]["memoryInBytes"].GetUint64());
    number("numProcesses", usages[i].processes);
    number("blockReadBytes", usages[i].read_bytes);
    number("blockWriteBytes", usages[i].write_bytes);
    number("networkRxBytes", 0);
    number("networkTxBytes", 0);
    list.PushBack(one, alloc);
  }
  if (format_of(call) == "json") {
    print_json(call, list, false);
  } else {
    for (const auto& [id, helper] : running) print_line(id);
  }
  return 0;
}

int command_copy(const Call& call) {
  fail("the stand-in does not implement " + std::string(call.parsed.command->name));
}

}  // namespace standin
