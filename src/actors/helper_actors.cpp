#include "actors/helper_actors.hpp"

#include <chrono>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/gate.hpp"

namespace ndc::actors {
namespace {

const char* to_string(HelperActors::Kind kind) {
  switch (kind) {
    case HelperActors::Kind::kEvents:
      return "event actor";
    case HelperActors::Kind::kImages:
      return "image actor";
    case HelperActors::Kind::kSampler:
      return "stats sampler";
    case HelperActors::Kind::kFingerprint:
      return "fingerprint actor";
    case HelperActors::Kind::kReaper:
      return "reaper";
  }
  return "?";
}

}  // namespace

HelperActors::HelperActors(act::Self self, act::Watch& watch, Options options)
    : self_{self}, watch_{watch}, options_{std::move(options)} {}

void HelperActors::start() {
  for (const auto kind :
       {Kind::kEvents, Kind::kImages, Kind::kSampler, Kind::kFingerprint, Kind::kReaper}) {
    budgets_[kind] = options_.limits.budget();
    start(kind);
  }
}

HelperActors::~HelperActors() {
  for (const auto& helper :
       {helpers_.images, helpers_.sampler, helpers_.events, fingerprint_, reaper_}) {
    act::tell(helper, Stop{});
  }
}

void HelperActors::use(RuntimePtr runtime, std::shared_ptr<const PluginConfig> config) {
  runtime_ = std::move(runtime);
  config_ = std::move(config);
  for (const auto& helper : {helpers_.images, helpers_.sampler, fingerprint_, reaper_}) {
    act::tell(helper, UseRuntime{runtime_, config_});
  }
}

void HelperActors::start(Kind kind) {
  caf::actor* told = nullptr;  // of the runtime
  switch (kind) {
    case Kind::kEvents:
      helpers_.events = supervised(spawn_events(self_), kind);
      std::erase_if(event_streams_, [](const auto& stream) { return stream->closed(); });
      for (const auto& stream : event_streams_) act::tell(helpers_.events, WatchEvents{stream});
      break;
    case Kind::kImages:
      helpers_.images =
          supervised(spawn_images(self_, helpers_.events, options_.metrics, pull_slots_), kind);
      told = &helpers_.images;
      break;
    case Kind::kSampler:
      helpers_.sampler = supervised(spawn_stats_sampler(self_), kind);
      told = &helpers_.sampler;
      break;
    case Kind::kFingerprint:
      fingerprint_ = supervised(spawn_fingerprint(self_, options_.fingerprint_interval), kind);
      told = &fingerprint_;
      break;
    case Kind::kReaper:
      reaper_ = supervised(spawn_reaper(self_, caf::actor{self_}), kind);
      told = &reaper_;
      break;
  }
  if (told != nullptr && runtime_) act::tell(*told, UseRuntime{runtime_, config_});
  if (kind != Kind::kFingerprint) return;
  std::erase_if(fingerprint_streams_, [](const auto& stream) { return stream->closed(); });
  for (const auto& stream : fingerprint_streams_) {
    act::tell(fingerprint_, WatchFingerprint{stream});
  }
}

caf::actor HelperActors::supervised(const caf::actor& helper, Kind kind) {
  watch_(helper, [this, kind](const caf::error& why) {
    if (!act::failed(why) || ending_) return;
    // Past the limit it pauses, but does not stay away: all tasks depend on it.
    if (budgets_[kind].spend()) {
      spdlog::error("the {} failed and is restarted", to_string(kind));
      restart(kind);
    } else {
      spdlog::error("the {} failed too often: it is restarted in {} s", to_string(kind),
                    options_.limits.window.count());
      act::tell_after(caf::actor{self_}, options_.limits.window,
                      RestartHelper{static_cast<int>(kind)});
      options_.paused(kind, to_string(kind));
    }
  });
  return helper;
}

void HelperActors::restart(const RestartHelper& m) { restart(static_cast<Kind>(m.which)); }

void HelperActors::restart(Kind kind) {
  if (ending_) return;
  start(kind);
  options_.metrics->restarted(to_string(kind));
  act::tell(helpers_.images, UseHelpers{helpers_});
  options_.restarted(kind, to_string(kind));
}

void HelperActors::watch_events(const WatchEvents& m) {
  if (admit(event_streams_, m.stream, "watch events")) act::tell(helpers_.events, m);
}

void HelperActors::watch_fingerprint(const WatchFingerprint& m) {
  if (admit(fingerprint_streams_, m.stream, "watch fingerprint")) act::tell(fingerprint_, m);
}

void HelperActors::emit(const TaskIdentity& task, std::string message) {
  act::tell(helpers_.events, EmitEvent{{task.task_id,
                                        task.alloc_id,
                                        task.task_name,
                                        std::chrono::system_clock::now(),
                                        std::move(message),
                                        {}}});
}

}  // namespace ndc::actors
