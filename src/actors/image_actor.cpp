// Images: found locally, or pulled once however many tasks wait for the same one, at most
// max_concurrent_pulls at a time. Tells the waiting tasks' users about it.

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "actors/spawn.hpp"
#include "model/duration.hpp"

namespace ndc::actors {
namespace {

// Nomad keeps ten events per task: a long pull must not push the others out.
constexpr int kMaxProgressEvents = 5;

class ImageActor {
 public:
  static constexpr const char* name = "image_actor";
  ImageActor(act::Self self, caf::actor events) : self_{self}, events_{std::move(events)} {}

  caf::behavior make_behavior() {
    return {
        [this](const UseRuntime& m) { use(m); },
        [this](const EnsureImage& m) { ensure(m); },
        [this](const ForgetImage& m) { known_.erase(m.reference); },
        [this](const ImageFound& m) { found(m); },
        [this](const ImagePulled& m) { pulled(m); },
        [this](const PullTick& m) { progress(m); },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  enum class Phase { kLooking, kQueued, kPulling };

  // All tasks that wait for one reference.
  struct Job {
    Phase phase = Phase::kLooking;
    std::vector<EnsureImage> waiting;
    std::chrono::steady_clock::time_point begun{};
    std::uint64_t generation = 0;
    int progress_events = 0;
  };

  void use(const UseRuntime& m) {
    runtime_ = m.runtime;
    config_ = m.config;
    known_.clear();
  }

  void ensure(const EnsureImage& m) {
    auto known = known_.find(m.reference);
    if (known != known_.end() && m.policy != PullPolicy::kAlways) {
      m.reply(known->second);
      return;
    }
    auto [it, is_new] = jobs_.try_emplace(m.reference);
    it->second.waiting.push_back(m);
    if (!is_new) {
      if (it->second.phase == Phase::kPulling) tell_user(m, "Pulling image " + m.reference);
      return;
    }
    if (m.policy == PullPolicy::kAlways) {
      queue(m.reference);
    } else {
      runtime_->find_image(m.reference, [me = caf::actor{self_}, ref = m.reference](auto result) {
        act::tell(me, ImageFound{ref, std::move(result)});
      });
    }
  }

  void found(const ImageFound& m) {
    auto it = jobs_.find(m.reference);
    if (it == jobs_.end() || it->second.phase != Phase::kLooking) return;
    if (!m.result) {
      finish(m.reference, fail(m.result.error()));
      return;
    }
    // Those who asked for a fresh pull while we looked still get one.
    auto& waiting = it->second.waiting;
    const std::optional<runtime::Image>& image = *m.result;
    std::vector<EnsureImage> rest;
    for (const EnsureImage& request : waiting) {
      if (image && request.policy != PullPolicy::kAlways) {
        request.reply(*image);
      } else if (!image && request.policy == PullPolicy::kNever) {
        request.reply(fail({.code = ErrorCode::kImageNotFound,
                            .what = "find image",
                            .on = request.reference,
                            .cause = "it is not on this node and pull_policy is \"never\"",
                            .hint = "load it on the node or change pull_policy"}));
      } else {
        rest.push_back(request);
      }
    }
    if (image) known_[m.reference] = *image;
    waiting = std::move(rest);
    if (waiting.empty()) {
      jobs_.erase(it);
    } else {
      queue(m.reference);
    }
  }

  void queue(const std::string& reference) {
    jobs_.at(reference).phase = Phase::kQueued;
    queue_.push_back(reference);
    pull_next();
  }

  void pull_next() {
    while (pulling_ < config_->max_concurrent_pulls && !queue_.empty()) {
      const std::string reference = std::move(queue_.front());
      queue_.pop_front();
      Job& job = jobs_.at(reference);
      job.phase = Phase::kPulling;
      job.begun = std::chrono::steady_clock::now();
      job.generation = ++last_generation_;
      ++pulling_;
      auto timeout = std::chrono::nanoseconds{0};
      for (const EnsureImage& request : job.waiting) {
        timeout = std::max(timeout, request.timeout);
        tell_user(request, "Pulling image " + reference);
      }
      act::tell_after(caf::actor{self_}, config_->pull_activity_interval,
                      PullTick{reference, job.generation});
      runtime_->pull_image({reference, timeout},
                           [me = caf::actor{self_}, reference](Expected<runtime::Image> result) {
                             act::tell(me, ImagePulled{reference, std::move(result)});
                           });
    }
  }

  void pulled(const ImagePulled& m) {
    auto it = jobs_.find(m.reference);
    if (it == jobs_.end() || it->second.phase != Phase::kPulling) return;
    --pulling_;
    if (m.result) {
      known_[m.reference] = *m.result;
      for (const EnsureImage& request : it->second.waiting) {
        tell_user(request, "Pulled image " + m.reference);
      }
    }
    finish(m.reference, m.result);
    pull_next();
  }

  void progress(const PullTick& m) {
    auto it = jobs_.find(m.reference);
    if (it == jobs_.end() || it->second.generation != m.generation) return;
    Job& job = it->second;
    if (++job.progress_events > kMaxProgressEvents) return;
    const auto elapsed = std::chrono::duration_cast<std::chrono::seconds>(
        std::chrono::steady_clock::now() - job.begun);
    for (const EnsureImage& request : job.waiting) {
      tell_user(request,
                "Still pulling image " + m.reference + " after " + format_duration(elapsed));
    }
    // Twice as long between one and the next, so that hours of pulling stay a handful of events.
    act::tell_after(caf::actor{self_}, config_->pull_activity_interval * (1 << job.progress_events),
                    PullTick{m.reference, m.generation});
  }

  void finish(const std::string& reference, const Expected<runtime::Image>& result) {
    auto node = jobs_.extract(reference);
    for (const EnsureImage& request : node.mapped().waiting) request.reply(result);
  }

  void tell_user(const EnsureImage& request, std::string message) {
    act::tell(events_, EmitEvent{{request.task.task_id,
                                  request.task.alloc_id,
                                  request.task.task_name,
                                  std::chrono::system_clock::now(),
                                  std::move(message),
                                  {{"image", request.reference}}}});
  }

  act::Self self_;
  caf::actor events_;
  RuntimePtr runtime_;
  std::shared_ptr<const PluginConfig> config_;
  std::map<std::string, runtime::Image> known_;  // by reference
  std::map<std::string, Job> jobs_;              // by reference
  std::deque<std::string> queue_;
  std::int64_t pulling_ = 0;
  std::uint64_t last_generation_ = 0;
};

}  // namespace

caf::actor spawn_images(act::Self parent, caf::actor events) {
  return parent->spawn<act::Host<ImageActor>>(std::move(events));
}

}  // namespace ndc::actors
