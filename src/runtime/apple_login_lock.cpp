#include "runtime/apple_login_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <cstdlib>

#include <spdlog/spdlog.h>

#include "runtime/apple_login_mark.hpp"
#include "runtime/look_again.hpp"
#include "runtime/own_file.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

// In place of what is said of a state directory.
Error refused(Error error) {
  error.what = "keep apart the logins at registries with";
  if (!error.recoverable()) {
    error.hint =
        "it has to be there for the agent's user alone: that user's own, with mode 0700, in a home "
        "directory on a local disk";
  }
  return error;
}

Expected<LoginLock> open_lock(const std::string& path) {
  UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return fail(refused(state_error(path, errno)));
  if (!is_own_file(info)) return fail(refused(state_error(path, "it is no file of this user")));
  return LoginLock{std::move(file)};
}

Expected<bool> lock_now(const LoginLock& lock, int how, const std::string& path) {
  if (::flock(lock.get(), how | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK || errno == EINTR) return false;
  return fail(refused(state_error(path, errno)));
}

// Who waits for a lock has another one meanwhile, of who comes next: else those who pull together
// would keep it among them, and so would a plugin with many pulls, which always looks first.
class Attempt {
 public:
  Attempt(std::string path, LoginUse use, LoginLock next, LoginLock lock)
      : path_{std::move(path)},
        how_{use == LoginUse::kAlone ? LOCK_EX : LOCK_SH},
        next_{std::move(next)},
        lock_{std::move(lock)} {}

  Expected<LoginLocks::Lock> look() {
    if (!is_next_) {
      const auto next = lock_now(next_, LOCK_EX, path_);
      if (!next) return fail(next.error());
      if (!*next) return LoginLocks::Lock{};
      is_next_ = true;
    }
    const auto locked = lock_now(lock_, how_, path_);
    if (!locked) return fail(locked.error());
    if (!*locked) return LoginLocks::Lock{};
    next_.release();
    return std::make_shared<LoginLock>(std::move(lock_));
  }

 private:
  std::string path_;
  int how_;
  bool is_next_ = false;
  LoginLock next_;
  LoginLock lock_;
};

Expected<std::shared_ptr<Attempt>> queue_up(const std::string& directory, const std::string& host,
                                            LoginUse use) {
  for (const std::string& path : {directory.substr(0, directory.rfind('/')), directory}) {
    if (auto made = make_private_directory(path); !made) {
      return fail(refused(std::move(made.error())));
    }
  }
  const std::string path = login_file(directory, "lock-", host);
  auto next = open_lock(login_file(directory, "next-", host));
  if (!next) return fail(std::move(next.error()));
  auto lock = open_lock(path);
  if (!lock) return fail(std::move(lock.error()));
  return std::make_shared<Attempt>(path, use, std::move(*next), std::move(*lock));
}

// What the environment names may be another user's: sudo leaves it as it was.
std::string home_of_user() {
  const char* named = std::getenv("HOME");
  struct stat info {};
  if (named != nullptr && *named == '/' && ::stat(named, &info) == 0 &&
      info.st_uid == ::geteuid()) {
    return named;
  }
  uv_passwd_t user{};
  if (uv_os_get_passwd(&user) != 0) return {};
  std::string home = user.homedir == nullptr ? "" : user.homedir;
  uv_os_free_passwd(&user);
  return home;
}

}  // namespace

void LoginLock::release() {
  if (file_) ::flock(file_.get(), LOCK_UN);
  file_.reset();
}

void LoginLocks::take(const std::string& host, LoginUse use,
                      std::chrono::steady_clock::time_point until,
                      std::function<void(Expected<Lock>)> done) const {
  const auto attempt = queue_up(directory_, host, use);
  if (!attempt) return done(fail(attempt.error()));
  const auto got = std::make_shared<Expected<Lock>>();
  const auto look = [attempt = *attempt, got] {
    *got = attempt->look();
    return !*got || **got;
  };
  if (look()) return done(std::move(*got));
  spdlog::info("registry {}: another plugin of this user pulls from there{}", host,
               std::chrono::steady_clock::now() < until ? ", and this one waits for its end" : "");
  look_again(loop_, until, look,
             [got, done = std::move(done)](bool /*in_time*/) { done(std::move(*got)); });
}

std::string LoginLocks::directory_of_user() {
  const std::string home = home_of_user();
  const bool known = home.starts_with('/');
  return (known ? home + "/.nomad-driver-container" : "/var/lib/nomad-driver-container") +
         "/.logins";
}

}  // namespace ndc::runtime
