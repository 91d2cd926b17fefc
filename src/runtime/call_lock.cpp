#include "runtime/call_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

#include <spdlog/spdlog.h>

namespace ndc::runtime {
namespace {

constexpr std::chrono::milliseconds kLookInterval{100};

UniqueFd open_lock(const std::string& directory, int flags) {
  const std::string path = directory + "/calls";
  return UniqueFd{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600)};
}

bool calls_go_on(const std::string& directory) {
  const UniqueFd lock = open_lock(directory, 0);
  return lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

struct Waiting : std::enable_shared_from_this<Waiting> {
  EventLoop& loop;
  std::string directory;
  std::chrono::steady_clock::time_point until;
  std::function<void()> then;
  std::shared_ptr<EventLoop::Timer> timer = nullptr;

  Waiting(EventLoop& its_loop, std::string of, std::chrono::nanoseconds patience,
          std::function<void()> what)
      : loop{its_loop},
        directory{std::move(of)},
        until{std::chrono::steady_clock::now() + patience},
        then{std::move(what)} {}

  void look() {
    const bool goes_on = calls_go_on(directory);
    const bool late = std::chrono::steady_clock::now() >= until;
    if (goes_on && late) spdlog::warn("{}: a call of an earlier plugin hangs", directory);
    if (!goes_on || late) {
      timer.reset();
      return std::exchange(then, nullptr)();
    }
    timer = loop.after(kLookInterval, [self = shared_from_this()] { self->look(); });
  }
};

}  // namespace

std::shared_ptr<UniqueFd> lock_for_call(const std::string& directory) {
  auto lock = std::make_shared<UniqueFd>(open_lock(directory, O_CREAT));
  if (!*lock) return nullptr;
  ::flock(lock->get(), LOCK_SH | LOCK_NB);
  return lock;
}

void await_calls(EventLoop& loop, const std::string& directory, std::chrono::nanoseconds patience,
                 std::function<void()> then) {
  std::make_shared<Waiting>(loop, directory, patience, std::move(then))->look();
}

}  // namespace ndc::runtime
