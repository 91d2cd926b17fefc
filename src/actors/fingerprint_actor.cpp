// Knows how the runtime is doing and tells every open Fingerprint stream: at once, on change, and
// never the same thing twice.

#include <algorithm>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "actors/spawn.hpp"
#include "model/version.hpp"

namespace ndc::actors {
namespace {

using namespace std::chrono_literals;

// Nomad expects a first answer within a second; a runtime that has not answered by then is reported
// as such.
constexpr auto kFirstAnswer = 900ms;

// How soon an unhealthy runtime is looked at again, so that a cure shows within seconds.
constexpr std::chrono::nanoseconds kUnhealthyInterval = 5s;

// How soon a bad answer is asked for again before it is told.
constexpr std::chrono::nanoseconds kConfirmInterval = 1s;

class FingerprintActor {
 public:
  static constexpr const char* name = "fingerprint_actor";
  FingerprintActor(act::Self self, std::chrono::nanoseconds interval)
      : self_{self}, interval_{interval} {}
  caf::behavior make_behavior() {
    return {
        [this](const UseRuntime& m) { use(m); },
        [this](const WatchFingerprint& m) { watch(m.stream); },
        [this](const Probed& m) { probed(m); },
        [this](const Tick& m) { tick(m); },
        [this](const FirstAnswerDue&) { first_answer_due(); },
        [this](const Doubt&) { doubt(); },
        [this](const Stop&) { stop(); },
    };
  }

 private:
  void use(const UseRuntime& m) {
    runtime_ = m.runtime;
    config_ = m.config;
    current_.reset();
    last_.reset();
    seen_ = false;
    ++generation_;
    // Nomad also sets configurations only to validate them: the host is not touched before
    // somebody asks.
    if (!streams_.empty()) probe();
  }

  // Only now: after a crash the streams go on with the successor.
  void stop() {
    for (const auto& stream : streams_) stream->end({});
    self_->quit();
  }

  void watch(const Stream<Fingerprint>& stream) {
    drop_closed();
    streams_.push_back(stream);
    if (current_) {
      stream->next(*current_);
    } else {
      act::tell_after(caf::actor{self_}, kFirstAnswer, FirstAnswerDue{});
      probe();
    }
  }

  void probe() {
    if (!runtime_ || probing_ == generation_) return;
    if (!config_->enabled) {
      publish({Health::kUndetected, "disabled by the plugin's config (enabled = false)", {}});
      return;
    }
    if (std::exchange(doubting_, generation_) != generation_) {
      runtime_->on_doubt([me = caf::actor{self_}] { act::tell(me, Doubt{}); });
    }
    probing_ = generation_;
    runtime_->probe([me = caf::actor{self_}, generation = generation_](Fingerprint fingerprint) {
      act::tell(me, Probed{generation, std::move(fingerprint)});
    });
  }

  void probed(const Probed& m) {
    if (m.generation != generation_) return;
    probing_ = 0;
    Fingerprint fingerprint = m.fingerprint;
    const bool good = fingerprint.health == Health::kHealthy;
    seen_ = seen_ || good;
    // A runtime that was there once is out of order, not unknown to this node.
    if (seen_ && !good) fingerprint.health = Health::kUnhealthy;
    const bool news = is_news(fingerprint);
    last_ = fingerprint;
    if (news) publish(std::move(fingerprint));
    drop_closed();
    if (streams_.empty()) return;  // the next reader starts the round again
    next_probe(!news  ? kConfirmInterval
               : good ? interval_
                      : std::min(interval_, kUnhealthyInterval));
  }

  // A bad answer counts when it comes twice, and another reason for one that was told already when
  // it is the same twice: one slow or unlucky call is no news, and a text that differs each time
  // would be a node event each time.
  bool is_news(const Fingerprint& fingerprint) const {
    if (!current_ || provisional_ || fingerprint.health == Health::kHealthy) return true;
    if (!last_) return false;
    return current_->health == Health::kHealthy ? last_->health != Health::kHealthy
                                                : *last_ == fingerprint;
  }

  void next_probe(std::chrono::nanoseconds pause) {
    act::tell_after(caf::actor{self_}, pause, Tick{generation_, ++round_});
  }

  void doubt() {
    if (streams_.empty() || probing_ != 0 || !current_) return;
    // Now rather than later, but not more often than a bad runtime is looked at anyway.
    next_probe(last_ && last_->health == Health::kHealthy ? 0ns : kConfirmInterval);
  }

  void tick(const Tick& m) {
    if (m.generation == generation_ && m.round == round_) probe();
  }

  void first_answer_due() {
    if (current_ || !runtime_) return;
    publish({Health::kUnhealthy,
             "waiting for the first answer of " + std::string{runtime_->name()},
             {}});
    provisional_ = true;
  }

  void publish(Fingerprint fingerprint) {
    if (fingerprint.health != Health::kUndetected) {
      fingerprint.attributes["driver.container.version"] = std::string{kVersion};
      // Nomad's servers remember by a node's attributes that it was no place for a job, and look
      // again when they are others: health alone coming back would leave jobs waiting for ever.
      fingerprint.attributes["driver.container.healthy"] = fingerprint.health == Health::kHealthy;
    }
    provisional_ = false;
    if (current_ == fingerprint) return;
    spdlog::info("fingerprint: {}", fingerprint.description);
    drop_closed();
    for (const auto& stream : streams_) stream->next(fingerprint);
    current_ = std::move(fingerprint);
  }

  void drop_closed() {
    std::erase_if(streams_, [](const auto& stream) { return stream->closed(); });
    if (streams_.empty()) {
      current_.reset();
      last_.reset();
    }
  }

  act::Self self_;
  std::chrono::nanoseconds interval_;
  RuntimePtr runtime_;
  std::shared_ptr<const PluginConfig> config_;
  std::vector<Stream<Fingerprint>> streams_;
  std::optional<Fingerprint> current_;
  std::optional<Fingerprint> last_;  // as probed, told or not
  bool provisional_ = false;         // current_ only says that there is no answer yet
  bool seen_ = false;                // the runtime was healthy once
  std::uint64_t generation_ = 1;
  std::uint64_t round_ = 0;     // of the tick under way
  std::uint64_t doubting_ = 0;  // generation whose runtime tells its doubts
  std::uint64_t probing_ = 0;   // generation of the probe under way, 0 for none
};

}  // namespace

caf::actor spawn_fingerprint(act::Self parent, std::chrono::nanoseconds interval) {
  return parent->spawn<act::Host<FingerprintActor>>(interval);
}

}  // namespace ndc::actors
