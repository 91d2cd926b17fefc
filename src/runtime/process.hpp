// Child processes: owned from spawn to reap. Arguments are vectors, never a shell; each child runs
// in a session of its own, inherits exactly the descriptors named here and neither the plugin's
// stdout nor its stderr (Nomad would take the plugin for alive as long as one of them is open).
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/task_exit.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// A descriptor that is asked for when the child is spawned, on the loop thread; shared, because
// others may keep it too. Null: the command fails (kRuntimeUnavailable).
using LateFd = std::function<std::shared_ptr<UniqueFd>()>;

// What one of a child's standard streams is connected to.
struct Stdio {
  enum class Kind { kNull, kCapture, kFd };
  Kind kind = Kind::kNull;
  LateFd fd;  // kFd

  static Stdio null() { return {}; }
  static Stdio capture() { return {Kind::kCapture, nullptr}; }
  static Stdio descriptor(LateFd fd) { return {Kind::kFd, std::move(fd)}; }
};

struct Command {
  std::vector<std::string> argv;         // argv[0]: path, or a name to look up on PATH
  std::vector<std::string> environment;  // complete, "NAME=value"; see child_environment()
  std::string directory;                 // empty: "/"
  std::shared_ptr<UniqueFd> in;          // /dev/null, if not set
  Stdio out = Stdio::capture();
  Stdio err = Stdio::capture();
  std::shared_ptr<UniqueFd> extra_fd;  // becomes fd 3 of the child ("/dev/fd/3"), if set
  // Inherited too (child.hpp, kHeldFd). Nobody reads or writes them: a helper that the child leaves
  // behind keeps them open, which is their purpose. run_command() only.
  std::array<LateFd, 2> held_fds;
  std::chrono::nanoseconds timeout{};    // past it the process group is killed (kTimeout); 0: none
  std::size_t capture_limit = 4u << 20;  // bytes a stream; the rest is read and dropped

  // Killed when the loop ends before it does: of a call that takes long by nature, or of one that
  // only asks, nobody would wait for the end.
  bool ends_with_loop = false;

  // Called every `watch_interval` while the child runs (loop thread; may be empty). An error ends
  // the command: the process group is killed, and the error is the result.
  std::function<std::optional<Error>(pid_t pid)> watch;
  std::chrono::nanoseconds watch_interval = std::chrono::seconds{1};
};

struct CommandResult {
  ExitStatus status;
  std::string out;
  std::string err;
  bool truncated = false;  // a stream exceeded capture_limit
};

// Runs a command to its end. The error is kRuntimeUnavailable where it could not be spawned
// (missing, not executable) and kTimeout past the deadline; an exit code other than 0 is a result,
// not an error. Any thread; `done` runs once on the loop thread. Streams that descendants keep open
// after the child's end are read for at most 200 ms more.
void run_command(EventLoop& loop, Command command,
                 std::function<void(Expected<CommandResult>)> done);

// Something short and secret for a child's stdin: a pipe that holds it already, its other end
// closed. At most 4 KiB (kInternal beyond; kRuntimeUnavailable for want of
// descriptors).
Expected<std::shared_ptr<UniqueFd>> input_pipe(const std::string& bytes);

// What a program of an engine inherits of this process's environment: what every program needs
// (home, path, language, proxies), what tests set, and what has one of these names or begins with
// one of these prefixes. Nothing else: the agent's may hold tokens, and an image that names a
// variable without a value gets the program's.
std::vector<std::string> child_environment(const std::vector<std::string_view>& names = {},
                                           const std::vector<std::string_view>& prefixes = {});

// Marks every descriptor from 3 on close-on-exec, so that children get none of what this process
// was started with. For main(), before any thread.
void keep_descriptors_from_children();

// Raises the soft limit of open descriptors towards the hard one: a task needs three or four, and
// macOS gives a service 256 in all. Engines set limits of containers by themselves.
void allow_more_descriptors();

}  // namespace ndc::runtime
