// Images with Apple's CLI. Its credentials live in the user's keychain, one login per host: a
// task's are put there for the time of its pull only, in turn with all other pulls of this user
// from there (apple_login_turns.hpp), and never in place of a login that the operator made. One
// that a killed plugin left there is taken away at the first use, and serves no pull; one of a
// plugin that lives is left alone. Loop thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/apple_cli.hpp"
#include "runtime/apple_login_mark.hpp"
#include "runtime/apple_login_turns.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

class AppleImages : public std::enable_shared_from_this<AppleImages> {
 public:
  // `login_dir`: where the locks and marks of logins are; empty: the user's own place. `state_dir`
  // had the marks before; empty: the platform's default.
  AppleImages(std::shared_ptr<AppleCli> cli, const std::string& state_dir,
              const std::string& login_dir);

  void find(const ImageQuery& image, Done<std::optional<Image>> done);
  // The request's time-out is that of the whole, with the wait for other pulls of the same
  // registry, of this plugin and of others.
  void pull(PullRequest request, Done<Image> done);
  void load(const LoadRequest& request, Done<Image> done);
  void remove(const std::string& reference, Done<void> done);

 private:
  struct Pull {
    PullRequest request;
    std::string host;
    std::chrono::steady_clock::time_point until;
    std::chrono::nanoseconds waited{};  // for other pulls
    std::chrono::nanoseconds left() const;
    // The error of a call that was ended, whose own time-out is only what was left.
    Error explained(Error error) const;
    Done<Image> done;
  };
  void take_turn(Pull pull, LoginUse use);

  using Logins = std::map<std::string, AppleLogin>;
  void list_logins(AppleCli::Kind kind, Done<Logins> done);
  void settle_all();
  // Ends the login that the host's mark tells of, if it is still there and ours, and removes the
  // mark. With an error a login of ours may still be there. Only in a turn of its own.
  void settle(const std::string& host, Done<void> done);
  // `stored`: the name under which the CLI keeps it.
  void log_out(const LoginMark& mark, const std::string& stored, Done<void> done);
  void end_mark(const LoginMark& mark, Done<void> done);
  void begin(Pull pull);
  void look_for_login(Pull pull);
  void log_in(Pull pull);
  void fetch(Pull pull);
  void require(const ImageQuery& image, Error missing, Done<Image> done);

  std::shared_ptr<AppleCli> cli_;
  LoginMarks marks_;
  std::shared_ptr<LoginTurns> turns_;
  bool settled_all_ = false;
};

}  // namespace ndc::runtime
