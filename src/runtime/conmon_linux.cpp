#include "runtime/conmon_linux.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <utility>

#include "runtime/podman_files.hpp"
#include "runtime/proc_linux.hpp"

namespace ndc::runtime {
namespace {

std::string_view saved(const ContainerRef& container, const char* key) {
  const auto found = container.state.find(key);
  return found == container.state.end() ? std::string_view{} : found->second;
}

// How soon what failed for want of descriptors is tried again.
constexpr std::chrono::milliseconds kPause{500};

// Waits for one process; keeps itself through its handle.
struct ProcessEnd : std::enable_shared_from_this<ProcessEnd> {
  UniqueFd pidfd;
  UvHandle<uv_poll_t> poll;
  std::function<void()> gone;

  void fire() {
    poll.close();
    if (auto callback = std::exchange(gone, nullptr)) callback();
  }
};

}  // namespace

std::optional<int> parse_exit_file(std::string_view text) {
  int code = -1;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, code);
  const bool whole = result.ptr == end || (result.ptr + 1 == end && *result.ptr == '\n');
  if (result.ec != std::errc{} || !whole || code < 0 || code > 255) return std::nullopt;
  return code;
}

std::optional<std::string> parse_conmon(const std::vector<std::string>& arguments,
                                        const std::string& container_id) {
  std::string exit_dir;
  bool ours = false;
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (arguments[i] == "-c" && arguments[i + 1] == container_id) ours = true;
    if (arguments[i] == "--exit-dir") exit_dir = arguments[i + 1];
  }
  if (!ours) return std::nullopt;
  return exit_dir.starts_with('/') ? exit_dir : std::string{};
}

bool Conmon::alive() const {
  // Without a free descriptor nothing can be read; that there is a process can be told.
  const auto stat = process_stat(pid);
  if (!stat) return pid > 0 && ::kill(pid, 0) == 0;
  if (stat->state == 'Z' || stat->start_time != start_time) return false;
  const auto arguments = process_arguments(pid);
  return arguments.empty() ||
         std::find(arguments.begin(), arguments.end(), container_id) != arguments.end();
}

bool Conmon::unreadable_exit_file() const {
  return !exit_dir.empty() && !exit_file() &&
         ::access((exit_dir + "/" + container_id).c_str(), F_OK) == 0;
}

std::optional<int> Conmon::exit_file() const {
  if (exit_dir.empty()) return std::nullopt;
  const auto text = read_file(exit_dir + "/" + container_id, 64);
  return text ? parse_exit_file(*text) : std::nullopt;
}

std::optional<Conmon> Conmon::find(pid_t pid, const std::string& container_id) {
  const auto stat = process_stat(pid);
  if (!stat || stat->state == 'Z') return std::nullopt;
  auto exit_dir = parse_conmon(process_arguments(pid), container_id);
  if (!exit_dir) return std::nullopt;
  return Conmon{pid, stat->start_time, container_id, std::move(*exit_dir)};
}

std::optional<Conmon> Conmon::search(const std::string& container_id) {
  for (const pid_t pid : all_processes()) {
    if (auto found = find(pid, container_id)) return found;
  }
  return std::nullopt;
}

Conmon Conmon::from(const ContainerRef& container) {
  Conmon out;
  out.pid = parse_process_id(saved(container, "conmon_pid"));
  const std::string_view start = saved(container, "conmon_start");
  std::from_chars(start.data(), start.data() + start.size(), out.start_time);
  out.container_id = container.id;
  const std::string_view directory = saved(container, "exit_dir");
  if (directory.starts_with('/')) out.exit_dir = directory;
  return out;
}

void Conmon::save(ContainerRef& container) const {
  container.state["conmon_pid"] = std::to_string(pid);
  container.state["conmon_start"] = std::to_string(start_time);
  container.state["exit_dir"] = exit_dir;
}

// ---------------------------------------------------------------------------------------------

struct ExitWatch::Watched {
  Conmon conmon;
  std::vector<Ended> callbacks;
  std::shared_ptr<EventLoop::Timer> again;
};

struct ExitWatch::Directory {
  UvHandle<uv_fs_event_t> event;
  std::string path;
  ino_t inode = 0;
  std::weak_ptr<ExitWatch> watch;
};

void ExitWatch::watch(const Conmon& conmon, Ended ended) {
  auto& watched = containers_[conmon.container_id];
  if (watched) {
    watched->callbacks.push_back(std::move(ended));
    return;
  }
  watched = std::make_shared<Watched>();
  watched->conmon = conmon;
  watched->callbacks.push_back(std::move(ended));
  begin(conmon.container_id);
}

void ExitWatch::begin(const std::string& id) {
  const auto found = containers_.find(id);
  if (found == containers_.end()) return;
  const Conmon& conmon = found->second->conmon;
  // First the watches, then the look: an end in between is seen by one of them.
  if (!conmon.exit_dir.empty()) watch_directory(conmon.exit_dir);
  const bool watching = watch_process(conmon.pid, [weak = weak_from_this(), id] {
    if (const auto self = weak.lock()) self->ended(id);
  });
  if (!conmon.exit_file() && conmon.alive()) {
    if (!watching) begin_later(id);  // for want of a descriptor, as a rule
    return;
  }
  loop_.post([weak = weak_from_this(), id] {
    if (const auto self = weak.lock()) self->ended(id);
  });
}

void ExitWatch::begin_later(const std::string& id) {
  containers_.at(id)->again = loop_.after(kPause, [weak = weak_from_this(), id] {
    if (const auto self = weak.lock()) self->begin(id);
  });
}

void ExitWatch::ended(const std::string& id) {
  const auto found = containers_.find(id);
  if (found == containers_.end()) return;
  const Conmon& conmon = found->second->conmon;
  if (conmon.unreadable_exit_file()) return begin_later(id);
  settle(id, conmon.exit_file());
}

bool ExitWatch::watch_process(pid_t pid, std::function<void()> gone) {
  auto end = std::make_shared<ProcessEnd>();
  end->pidfd = open_pidfd(pid);
  if (!end->pidfd) return false;
  const int fd = end->pidfd.get();
  end->gone = std::move(gone);
  const int error = end->poll.open(loop_.uv(), end, [fd](uv_loop_t* loop, uv_poll_t* poll) {
    return uv_poll_init(loop, poll, fd);
  });
  if (error != 0) return false;
  uv_poll_start(end->poll.get(), UV_READABLE, [](uv_poll_t* poll, int, int) {
    if (const auto owner = owner_of<ProcessEnd>(poll)) owner->fire();
  });
  return true;
}

void ExitWatch::watch_directory(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return;
  auto& directory = directories_[path];
  if (directory && directory->inode == info.st_ino && directory->event) return;
  directory = std::make_shared<Directory>();
  directory->path = path;
  directory->inode = info.st_ino;
  directory->watch = weak_from_this();
  const int error = directory->event.open(
      loop_.uv(), directory,
      [](uv_loop_t* loop, uv_fs_event_t* event) { return uv_fs_event_init(loop, event); });
  if (error != 0) return;
  const auto seen = [](uv_fs_event_t* event, const char* name, int, int) {
    const auto owner = owner_of<Directory>(event);
    const auto self = owner ? owner->watch.lock() : nullptr;
    if (self && name != nullptr) self->look(owner->path, name);
  };
  // Without inotify, conmon's own end is still seen.
  if (uv_fs_event_start(directory->event.get(), seen, path.c_str(), 0) != 0) {
    directory->event.close();
  }
}

void ExitWatch::look(const std::string& directory, const std::string& name) {
  const auto found = containers_.find(name);
  if (found == containers_.end() || found->second->conmon.exit_dir != directory) return;
  if (const auto code = found->second->conmon.exit_file()) settle(name, code);
}

void ExitWatch::settle(const std::string& id, std::optional<int> code) {
  const auto found = containers_.find(id);
  if (found == containers_.end()) return;
  const auto watched = found->second;
  containers_.erase(found);
  for (const Ended& ended : watched->callbacks) ended(code);
}

}  // namespace ndc::runtime
