// Sees to it that the end of a container is told though the CLI that is attached to it hangs, and
// its monitor with it has nothing to say. The samples of `stats`, which are taken anyway, show that
// a container still runs; only where one is missing, or none are taken, the engine is asked: one
// `list` for all containers, and not more than one in each pause. Loop thread only.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/apple_cli.hpp"
#include "runtime/apple_json.hpp"
#include "runtime/apple_watch.hpp"

namespace ndc::runtime {

class AppleLookout : public std::enable_shared_from_this<AppleLookout> {
 public:
  using Clock = std::chrono::steady_clock;

  // A container that has ended is noticed within one `pause`.
  AppleLookout(std::shared_ptr<AppleCli> cli, std::chrono::nanoseconds pause)
      : cli_{std::move(cli)}, pause_{pause} {}

  // Of a container that runs, until it has ended or nobody else holds the watch.
  void follow(const std::shared_ptr<AppleWatch>& watch);

  // All that run, by id, as an answer says that was asked for at `asked`.
  void sampled(Clock::time_point asked, const std::map<std::string, AppleUsage>& running);

 private:
  struct Followed {
    std::weak_ptr<AppleWatch> watch;
    Clock::time_point since;
  };
  using Watches = std::vector<std::shared_ptr<AppleWatch>>;

  // Those that ran at `then` and have an attached CLI. Forgets what has ended.
  Watches attached(Clock::time_point then);
  void wait(std::chrono::nanoseconds pause);
  void due();
  void look();
  void looked(Clock::time_point asked, const Expected<AppleCli::Containers>& all);

  std::shared_ptr<AppleCli> cli_;
  std::chrono::nanoseconds pause_;
  std::map<std::string, Followed> followed_;  // by id
  Clock::time_point all_ran_{};               // as a sample has shown
  Clock::time_point looked_{};                // when the engine answered last, or did not
  bool looking_ = false;
  std::shared_ptr<EventLoop::Timer> timer_;
};

}  // namespace ndc::runtime
