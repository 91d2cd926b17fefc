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

class FingerprintActor {
 public:
  static constexpr const char* name = "fingerprint_actor";
  FingerprintActor(act::Self self, std::chrono::nanoseconds interval)
      : self_{self}, interval_{interval} {}
  ~FingerprintActor() {
    for (const auto& stream : streams_) stream->end({});
  }
  FingerprintActor(const FingerprintActor&) = delete;
  FingerprintActor& operator=(const FingerprintActor&) = delete;

  caf::behavior make_behavior() {
    return {
        [this](const UseRuntime& m) { use(m); },
        [this](const WatchFingerprint& m) { watch(m.stream); },
        [this](const Probed& m) { probed(m); },
        [this](const Tick& m) { tick(m.generation); },
        [this](const FirstAnswerDue&) { first_answer_due(); },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  void use(const UseRuntime& m) {
    runtime_ = m.runtime;
    config_ = m.config;
    current_.reset();
    ++generation_;
    // Nomad also sets configurations only to validate them: the host is not touched before
    // somebody asks.
    if (!streams_.empty()) probe();
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
    probing_ = generation_;
    runtime_->probe([me = caf::actor{self_}, generation = generation_](Fingerprint fingerprint) {
      act::tell(me, Probed{generation, std::move(fingerprint)});
    });
  }

  void probed(const Probed& m) {
    if (m.generation != generation_) return;
    probing_ = 0;
    publish(m.fingerprint);
    drop_closed();
    if (streams_.empty()) return;  // the next reader starts the round again
    const auto pause = m.fingerprint.health == Health::kHealthy
                           ? interval_
                           : std::min(interval_, kUnhealthyInterval);
    act::tell_after(caf::actor{self_}, pause, Tick{generation_});
  }

  void tick(std::uint64_t generation) {
    if (generation == generation_) probe();
  }

  void first_answer_due() {
    if (current_ || !runtime_) return;
    publish({Health::kUnhealthy,
             "waiting for the first answer of " + std::string{runtime_->name()},
             {}});
  }

  void publish(Fingerprint fingerprint) {
    if (fingerprint.health != Health::kUndetected) {
      fingerprint.attributes["driver.container.version"] = std::string{kVersion};
    }
    if (current_ == fingerprint) return;
    spdlog::info("fingerprint: {}", fingerprint.description);
    drop_closed();
    for (const auto& stream : streams_) stream->next(fingerprint);
    current_ = std::move(fingerprint);
  }

  void drop_closed() {
    std::erase_if(streams_, [](const auto& stream) { return stream->closed(); });
    if (streams_.empty()) current_.reset();
  }

  act::Self self_;
  std::chrono::nanoseconds interval_;
  RuntimePtr runtime_;
  std::shared_ptr<const PluginConfig> config_;
  std::vector<Stream<Fingerprint>> streams_;
  std::optional<Fingerprint> current_;
  std::uint64_t generation_ = 1;
  std::uint64_t probing_ = 0;  // generation of the probe under way, 0 for none
};

}  // namespace

caf::actor spawn_fingerprint(act::Self parent, std::chrono::nanoseconds interval) {
  return parent->spawn<act::Host<FingerprintActor>>(interval);
}

}  // namespace ndc::actors
