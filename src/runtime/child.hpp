// One child process, owned from spawn to reap. Its streams belong to the caller. Loop thread only.
#pragma once

#include <sys/types.h>
#include <uv.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/task_exit.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/uv_handle.hpp"

namespace ndc::runtime {

// Descriptors that a child only holds. Far above those that programs number by hand, as podman does
// for its helpers.
inline constexpr int kHeldFd = 20;

struct SpawnPlan {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::string directory;  // empty: "/"
  // Become 0–3; -1: /dev/null, and none for 3.
  std::array<int, 4> fds{-1, -1, -1, -1};
  std::array<int, 2> held{-1, -1};    // become kHeldFd and the next; -1: none. Not with a terminal
  bool controlling_terminal = false;  // fds[0] is a terminal: make it the child's own
  bool ends_with_loop = false;        // kill the child's process group when the loop ends first
};

class Child : public std::enable_shared_from_this<Child> {
 public:
  // `exited` runs once, from the loop. The object keeps itself alive until then. The error is
  // kRuntimeUnavailable.
  static Expected<std::shared_ptr<Child>> spawn(EventLoop& loop, const SpawnPlan& plan,
                                                std::function<void(ExitStatus)> exited);
  ~Child();

  // SIGKILL to the child's process group; nothing once the child has been reaped.
  void kill_group();

  // 0 once the child has been reaped.
  pid_t pid() const { return pid_; }

 private:
  Expected<void> spawn_plain(EventLoop& loop, const SpawnPlan& plan, const std::string& file);
  Expected<void> spawn_with_terminal(EventLoop& loop, const SpawnPlan& plan,
                                     const std::string& file);
  void reap();
  void ended(ExitStatus status);

  UvHandle<uv_process_t> process_;
  UvHandle<uv_signal_t> child_signal_;  // instead of process_, where we forked ourselves
  pid_t pid_ = 0;                       // 0: not running (any more)
  std::function<void(ExitStatus)> exited_;
  bool ends_with_loop_ = false;
};

// "podman inspect": what error texts may say of a command line; the rest could be secret.
std::string command_name(const std::vector<std::string>& argv);

// The file that argv[0] names, looked up on the PATH of `environment` (not on ours).
Expected<std::string> resolve_program(const std::vector<std::string>& argv,
                                      const std::vector<std::string>& environment);

}  // namespace ndc::runtime
