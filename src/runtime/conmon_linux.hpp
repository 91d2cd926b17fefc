// Learns of a container's end from conmon, podman's own watcher: its exit file, seen by inotify as
// soon as it is there, or else conmon's own end. One watch of the exit directory serves all
// containers. Never polls, never starts a process. Loop thread only.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/task_handle.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/unique_fd.hpp"
#include "runtime/uv_handle.hpp"

namespace ndc::runtime {

// The contents of its exit file; nullopt unless they are a whole exit code.
std::optional<int> parse_exit_file(std::string_view text);

// The exit directory that the command line of a container's conmon names, or empty; nullopt where
// it is the command line of anything else.
std::optional<std::string> parse_conmon(const std::vector<std::string>& arguments,
                                        const std::string& container_id);

struct Conmon {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // against reuse of the pid
  std::string container_id;
  std::string exit_dir;  // from conmon's command line; may be empty

  // Runs, and is this container's.
  bool alive() const;
  // What conmon wrote; the file lives for some 200 ms only.
  std::optional<int> exit_file() const;
  // It is there and cannot be read, for want of a descriptor as a rule.
  bool unreadable_exit_file() const;

  // What is to be seen of the process `pid`; nullopt if it is not the conmon of `container_id`.
  static std::optional<Conmon> find(pid_t pid, const std::string& container_id);
  // The same where nobody knows its process id. Reads all of /proc.
  static std::optional<Conmon> search(const std::string& container_id);
  static Conmon from(const ContainerRef& container);
  void save(ContainerRef& container) const;
};

class ExitWatch : public std::enable_shared_from_this<ExitWatch> {
 public:
  // nullopt: conmon ended and its exit file was not seen; podman knows the rest.
  using Ended = std::function<void(std::optional<int> code)>;

  explicit ExitWatch(EventLoop& loop) : loop_{loop} {}

  // `ended` runs once, later, also when it is over already. Any number of watchers a container.
  void watch(const Conmon& conmon, Ended ended);

  // Runs `gone` once when the process has ended. False if it cannot be watched (it has ended).
  bool watch_process(pid_t pid, std::function<void()> gone);

 private:
  struct Watched;
  struct Directory;

  void watch_directory(const std::string& path);
  void look(const std::string& directory, const std::string& name);
  void begin(const std::string& id);
  void begin_later(const std::string& id);
  void ended(const std::string& id);
  void settle(const std::string& id, std::optional<int> code);

  EventLoop& loop_;
  std::map<std::string, std::shared_ptr<Watched>> containers_;     // by id
  std::map<std::string, std::shared_ptr<Directory>> directories_;  // by path
};

}  // namespace ndc::runtime
