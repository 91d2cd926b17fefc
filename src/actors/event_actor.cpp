// Passes task events to every open TaskEvents stream. An event without a listener is dropped, as
// Nomad's own drivers do.

#include <algorithm>
#include <vector>

#include "actors/spawn.hpp"

namespace ndc::actors {
namespace {

class EventActor {
 public:
  static constexpr const char* name = "event_actor";
  explicit EventActor(act::Self self) : self_{self} {}
  caf::behavior make_behavior() {
    return {
        [this](const WatchEvents& m) { watch(m.stream); },
        [this](const EmitEvent& m) { emit(m.event); },
        [this](const Stop&) { stop(); },
    };
  }

 private:
  void watch(const Stream<TaskEvent>& stream) {
    drop_closed();
    streams_.push_back(stream);
  }

  void emit(const TaskEvent& event) {
    drop_closed();
    for (const auto& stream : streams_) stream->next(event);
  }

  // Only now: after a crash the streams go on with the successor.
  void stop() {
    for (const auto& stream : streams_) stream->end({});
    self_->quit();
  }

  void drop_closed() {
    std::erase_if(streams_, [](const auto& stream) { return stream->closed(); });
  }

  act::Self self_;
  std::vector<Stream<TaskEvent>> streams_;
};

}  // namespace

caf::actor spawn_events(act::Self parent) { return parent->spawn<act::Host<EventActor>>(); }

}  // namespace ndc::actors
