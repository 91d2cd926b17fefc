// What the tests against real processes share: waiting with a deadline, and a check that a case
// leaves no descriptor and no child behind.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/event_loop.hpp"
#include "runtime/process.hpp"
#include "runtime/unique_fd.hpp"
#include "support/catch.hpp"

namespace ndc::test {

// For what comes within moments, unless the machine is busy with something else.
inline constexpr std::chrono::seconds kDeadline{60};

// A value that another thread delivers.
template <class T>
class Awaited {
 public:
  void set(T value) const {
    const std::lock_guard lock{state_->mutex};
    ++state_->times;
    state_->value = std::move(value);
    state_->changed.notify_all();
  }
  T get(std::chrono::milliseconds deadline = kDeadline) const {
    std::unique_lock lock{state_->mutex};
    const bool in_time =
        state_->changed.wait_for(lock, deadline, [this] { return state_->value.has_value(); });
    REQUIRE(in_time);
    return *state_->value;
  }
  bool is_set() const { return times() > 0; }
  int times() const {
    const std::lock_guard lock{state_->mutex};
    return state_->times;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<T> value;
    int times = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// On the loop's thread, as in the driver. ThreadSanitizer does not see libuv close descriptors, and
// takes another thread's use of the same number for a race.
template <class F>
auto on_loop(runtime::EventLoop& loop, F call) {
  const Awaited<decltype(call())> result;
  loop.post([result, call] { result.set(call()); });
  return result.get();
}

// For what nothing tells of: looks until it is so, or the deadline has passed.
template <class Condition>
bool eventually(Condition&& condition, std::chrono::milliseconds limit = kDeadline) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return true;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::set<std::string> open_descriptors() {
  std::set<std::string> out;
  DIR* directory = ::opendir("/dev/fd");
  const std::string own = std::to_string(::dirfd(directory));
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name != own) out.insert(entry->d_name);
  }
  ::closedir(directory);
  return out;
}

// No descriptor can be opened for as long as it lives. Not for cases that run with UBSan, which
// looks with a pipe whether an object can be read: without descriptors all are bad to it.
struct NoDescriptors {
  rlimit before{};
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none{0, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before); }
};

// Declared first in a case, so that it looks when everything else is gone.
class LeakCheck {
 public:
  LeakCheck() {
    ::signal(SIGPIPE, SIG_IGN);
    runtime::keep_descriptors_from_children();
    runtime::EventLoop{};  // libuv keeps a signal pipe for the process from its first loop on
    before_ = open_descriptors();
  }
  LeakCheck(const LeakCheck&) = delete;
  LeakCheck& operator=(const LeakCheck&) = delete;
  ~LeakCheck() {
    CHECK(open_descriptors() == before_);
    CHECK(no_children());
  }

 private:
  // What was killed when everything else went may take its time to die where the machine is busy,
  // and then the loop that would have reaped it is no more.
  static bool no_children() {
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (std::chrono::steady_clock::now() < deadline) {
      int status = 0;
      const pid_t child = ::waitpid(-1, &status, WNOHANG);
      if (child == -1) return errno == ECHILD;
      if (child > 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) return false;
      if (child == 0) std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
    return false;
  }

  std::set<std::string> before_;
};

// Waits for the end of the calls that are under way: their loop reaps them only while it lives. Not
// for one that is dead and that nobody reaps, which LeakCheck judges.
inline void await_children() {
  int looks_at_dead = 0;
  eventually([&looks_at_dead] {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return true;
    looks_at_dead = info.si_pid == 0 ? 0 : looks_at_dead + 1;
    return looks_at_dead > 200;
  });
}

// Waits until the loop has done what was posted, and closed what was closing.
inline void settle(runtime::EventLoop& loop) {
  for (int i = 0; i < 2; ++i) {
    const Awaited<bool> done;
    REQUIRE(loop.post([done] { done.set(true); }));
    done.get();
  }
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ndc-test-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;  // a process that is about to end may still write there
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// What waits in a FIFO. By an end for reading alone: macOS says 0 to one that is open for both.
inline std::size_t bytes_in_fifo(const std::string& path) {
  const runtime::UniqueFd end{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  int bytes = 0;
  REQUIRE(::ioctl(end.get(), FIONREAD, &bytes) == 0);
  return static_cast<std::size_t>(bytes);
}

inline runtime::Command shell(const std::string& script) {
  runtime::Command command;
  command.argv = {"/bin/sh", "-c", script};
  command.environment = {"PATH=/usr/bin:/bin"};
  command.timeout = kDeadline;
  return command;
}

inline Expected<runtime::CommandResult> run(runtime::EventLoop& loop, runtime::Command command) {
  const Awaited<Expected<runtime::CommandResult>> result;
  runtime::run_command(loop, std::move(command), [result](Expected<runtime::CommandResult> got) {
    result.set(std::move(got));
  });
  auto got = result.get(kDeadline + std::chrono::seconds{10});
  CHECK(result.times() == 1);
  return got;
}

}  // namespace ndc::test
