#include "runtime/apple_removal.hpp"

#include <chrono>
#include <utility>

#include "runtime/apple_errors.hpp"
#include "runtime/call_lock.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

constexpr int kTries = 4;
constexpr auto kPause = 300ms;

struct Removal : std::enable_shared_from_this<Removal> {
  std::shared_ptr<AppleCli> cli;
  AppleRemoval of;
  Done<void> done;
  int tries = kTries;
  std::shared_ptr<EventLoop::Timer> timer;

  void run() {
    // The timer holds this object: its end must not come in the middle.
    const auto self = shared_from_this();
    timer.reset();
    Command removal = cli->command(AppleCall::remove(of.id));
    removal.extra_fd = lock_for_call(of.directory);
    cli->run(std::move(removal), of.kind,
             [self](Expected<CommandResult> result) { self->ended(std::move(result)); });
    crash_point("apple.remove.spawned");
  }

  void ended(Expected<CommandResult> result) {
    if (!result) return done(fail(std::move(result.error()).wrap(of.what, of.id)));
    const bool gone =
        result->status == ExitStatus{Exited{0}} || says_container_not_found(result->err, of.id);
    if (gone) return done({});
    if (--tries <= 0 || says_daemon_is_down(result->err)) {
      return done(fail(apple_error(of.what, of.id, result->status, result->err)));
    }
    timer = cli->loop().after(kPause, [self = shared_from_this()] { self->run(); });
  }
};

}  // namespace

void remove_apple_container(std::shared_ptr<AppleCli> cli, AppleRemoval removal, Done<void> done) {
  auto made = std::make_shared<Removal>();
  made->cli = std::move(cli);
  made->of = std::move(removal);
  made->done = std::move(done);
  made->run();
}

}  // namespace ndc::runtime
