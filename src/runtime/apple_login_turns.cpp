#include "runtime/apple_login_turns.hpp"

#include <utility>

#include <spdlog/spdlog.h>

namespace ndc::runtime {
namespace {

Error in_vain(const std::string& host, const std::string& whose) {
  return {
      ErrorCode::kTimeout, "wait for a turn at registry", host,
      "pulls of " + whose + " took all the time: they go one by one where there are credentials",
      "see why those take so long, or raise image_pull_timeout"};
}

}  // namespace

LoginTurns::Turn::Turn(std::shared_ptr<LoginTurns> of, std::string host, LoginLocks::Lock lock)
    : of_{std::move(of)}, host_{std::move(host)}, lock_{std::move(lock)} {}

void LoginTurns::Turn::end() {
  const auto of = std::exchange(of_, nullptr);
  if (!of) return;
  if (lock_) lock_->release();
  of->end(host_);
}

LoginTurns::LoginTurns(EventLoop& loop, std::string directory)
    : loop_{loop}, locks_{loop, std::move(directory)} {}

void LoginTurns::take(const std::string& host, LoginUse use,
                      std::chrono::steady_clock::time_point until, Done done) {
  // Whichever comes first takes it away: the turn, or the end of its time.
  const auto waiting = std::make_shared<Done>(std::move(done));
  const auto too_late = loop_.after(until - std::chrono::steady_clock::now(), [waiting, host] {
    const Done late = std::exchange(*waiting, nullptr);
    if (late) late(fail(in_vain(host, "other tasks")));
  });
  const auto go = [self = shared_from_this(), host, use, until, waiting, too_late] {
    Done in_time = std::exchange(*waiting, nullptr);
    if (!in_time) return self->end(host);
    self->lock(host, use, until, std::move(in_time));
  };
  hosts_[host].waiting.push_back({use == LoginUse::kAlone, go});
  next(host);
}

void LoginTurns::next(const std::string& host) {
  while (true) {
    const auto found = hosts_.find(host);
    if (found == hosts_.end()) return;
    Host& state = found->second;
    if (state.waiting.empty()) {
      if (state.running == 0) hosts_.erase(found);
      return;
    }
    if (state.alone || (state.waiting.front().alone && state.running > 0)) return;
    const Host::Waiting turn = std::move(state.waiting.front());
    state.waiting.pop_front();
    ++state.running;
    state.alone = turn.alone;
    turn.go();
  }
}

void LoginTurns::end(const std::string& host) {
  Host& state = hosts_[host];
  --state.running;
  state.alone = false;
  next(host);
}

void LoginTurns::lock(const std::string& host, LoginUse use,
                      std::chrono::steady_clock::time_point until, Done done) {
  locks_.take(host, use, until,
              [self = shared_from_this(), host, use,
               done = std::move(done)](const Expected<LoginLocks::Lock>& lock) {
                if (lock && *lock) return done(std::make_shared<Turn>(self, host, *lock));
                if (lock) {
                  done(fail(in_vain(host, "another plugin of this user")));
                } else if (use == LoginUse::kAlone || lock.error().recoverable()) {
                  done(fail(lock.error()));
                } else {
                  spdlog::warn(
                      "registry {}: no task of this user can log in there, and this pull does "
                      "without a lock: {}",
                      host, lock.error().message());
                  return done(std::make_shared<Turn>(self, host, nullptr));
                }
                self->end(host);
              });
}

}  // namespace ndc::runtime
