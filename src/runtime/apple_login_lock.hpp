// Whose turn it is with a registry's login among all plugins of one user. The user's keychain has
// one login for each registry, whoever made it: the lock on it is a file in a directory that all of
// them share, whatever their state directories, and it is the system's (flock): with the process
// that held it, it goes by itself. The files stay.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "model/error.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// kAlone: of whoever logs in, or ends a login. kTogether: of others who pull from there, to whom
// the login of a task would be given as well.
enum class LoginUse { kAlone, kTogether };

class LoginLock {
 public:
  explicit LoginLock(UniqueFd file) : file_{std::move(file)} {}
  LoginLock(LoginLock&&) = default;
  LoginLock& operator=(LoginLock&&) = delete;
  ~LoginLock() { release(); }

  // At once, also where a child that is just being made has a copy of the descriptor.
  void release();
  int get() const { return file_.get(); }

 private:
  UniqueFd file_;
};

class LoginLocks {
 public:
  using Lock = std::shared_ptr<LoginLock>;

  LoginLocks(EventLoop& loop, std::string directory)
      : loop_{loop}, directory_{std::move(directory)} {}

  // `done` runs at once or later: with the lock, or with null where others had it until `until`.
  // The error names the directory that cannot be used, and is recoverable where that may pass by
  // itself. Loop thread only.
  void take(const std::string& host, LoginUse use, std::chrono::steady_clock::time_point until,
            std::function<void(Expected<Lock>)> done) const;

  // Of this process's user: where the CLI's home is, as the keychain is the home's.
  static std::string directory_of_user();

 private:
  EventLoop& loop_;
  std::string directory_;
};

}  // namespace ndc::runtime
