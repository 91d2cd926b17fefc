#include "runtime/call_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/look_again.hpp"

namespace ndc::runtime {
namespace {

UniqueFd open_lock(const std::string& directory, int flags) {
  const std::string path = directory + "/calls";
  return UniqueFd{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600)};
}

bool calls_go_on(const std::string& directory) {
  const UniqueFd lock = open_lock(directory, 0);
  return lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

std::shared_ptr<UniqueFd> lock_for_call(const std::string& directory) {
  auto lock = std::make_shared<UniqueFd>(open_lock(directory, O_CREAT));
  if (!*lock) return nullptr;
  ::flock(lock->get(), LOCK_SH | LOCK_NB);
  return lock;
}

void await_calls(EventLoop& loop, const std::string& directory, std::chrono::nanoseconds patience,
                 std::function<void()> then) {
  look_again(
      loop, std::chrono::steady_clock::now() + patience,
      [directory] { return !calls_go_on(directory); },
      [directory, then = std::move(then)](bool ended) {
        if (!ended) spdlog::warn("{}: a call of an earlier plugin hangs", directory);
        then();
      });
}

}  // namespace ndc::runtime
