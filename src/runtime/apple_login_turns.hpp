// Turns at a registry's login: first among the pulls of this plugin, in the order in which they
// came, and then among the plugins of this user (apple_login_lock.hpp). Pulls of one registry go
// one by one where there are credentials, and those without together; pulls of different
// registries do not wait for each other. Loop thread only.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "model/error.hpp"
#include "runtime/apple_login_lock.hpp"
#include "runtime/event_loop.hpp"

namespace ndc::runtime {

class LoginTurns : public std::enable_shared_from_this<LoginTurns> {
 public:
  // Whoever has it gives it back; what holds it may go before that with the loop.
  class Turn {
   public:
    Turn(std::shared_ptr<LoginTurns> of, std::string host, LoginLocks::Lock lock);
    // Idempotent. The next one may have its turn within the call.
    void end();

   private:
    std::shared_ptr<LoginTurns> of_;
    std::string host_;
    LoginLocks::Lock lock_;
  };
  using Held = std::shared_ptr<Turn>;
  using Done = std::function<void(Expected<Held>)>;

  // `directory` is that of the locks.
  LoginTurns(EventLoop& loop, std::string directory);

  // `done` runs at once or later. kTimeout: it did not come until `until`; other errors are those
  // of the lock. Without a lock for other reasons than want of means nobody of this user logs in,
  // and those who go together go on without.
  void take(const std::string& host, LoginUse use, std::chrono::steady_clock::time_point until,
            Done done);

 private:
  struct Host {
    struct Waiting {
      bool alone = false;
      std::function<void()> go;
    };
    std::deque<Waiting> waiting;
    int running = 0;
    bool alone = false;
  };
  void next(const std::string& host);
  void end(const std::string& host);
  void lock(const std::string& host, LoginUse use, std::chrono::steady_clock::time_point until,
            Done done);

  EventLoop& loop_;
  LoginLocks locks_;
  std::map<std::string, Host> hosts_;
};

}  // namespace ndc::runtime
