// Images: found locally, loaded from a task's archive, or pulled once however many tasks wait for
// the same one with the same credentials, at most max_concurrent_pulls at a time. Tells the waiting
// tasks' users about it.

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include "actors/spawn.hpp"
#include "model/duration.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

// Nomad keeps the last ten events of a task. With its beginning and its end a pull makes no more,
// so that a long one neither fills the list again and again nor hides how it began.
constexpr int kMaxProgressEvents = 8;

std::string mebibytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

class ImageActor {
 public:
  static constexpr const char* name = "image_actor";
  ImageActor(act::Self self, caf::actor events, std::shared_ptr<Metrics> metrics)
      : self_{self}, events_{std::move(events)}, metrics_{std::move(metrics)} {
    count_pulls();  // none, whatever a crashed predecessor was at
  }

  caf::behavior make_behavior() {
    return {
        [this](const UseRuntime& m) { use(m); },
        [this](const UseHelpers& m) { events_ = m.helpers.events; },
        [this](const EnsureImage& m) { m.load ? ensure_loaded(m) : ensure(m); },
        [this](const ForgetImage& m) { forget(m.reference); },
        [this](const ImageFound& m) { found(m); },
        [this](const ImagePulled& m) { pulled(m); },
        [this](const PullProgressed& m) { progressed(m); },
        [this](const PullTick& m) { progress(m); },
        [this](const ImageUsed& m) { used(m); },
        [this](const ImageReleased& m) { released(m.task_id); },
        [this](const ImageUnused& m) { unused(m); },
        [this](const ImageRemoved& m) { removed(m.reference); },
        [this](const ImagesKept& m) { kept(m.references); },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  enum class Phase { kLooking, kQueued, kPulling };

  // All tasks that wait for one image.
  struct Job {
    Phase phase = Phase::kLooking;
    std::vector<EnsureImage> waiting;
    std::chrono::steady_clock::time_point begun{};
    std::uint64_t generation = 0;
    std::uint64_t bytes = 0;
    int progress_events = 0;
    bool without_auth = false;  // auth_soft_fail: the credentials were refused
  };

  void use(const UseRuntime& m) {
    runtime_ = m.runtime;
    config_ = m.config;
    known_.clear();
    if (!config_->gc.image) return;
    runtime_->kept_references([me = caf::actor{self_}](auto references) {
      act::tell(me, ImagesKept{std::move(references)});
    });
  }

  void forget(const std::string& reference) {
    std::erase_if(known_, [&](const auto& entry) { return entry.first.reference == reference; });
  }

  // What is on the node is there for everybody, whoever's credentials brought it.
  static ImageKey local(ImageKey key) {
    key.auth.reset();
    key.archive.reset();
    return key;
  }

  // What a task brings along it wants to run, whatever else has this name by now.
  void ensure_loaded(EnsureImage m) {
    m.image.archive = m.spec->task_dir() + "/" + *m.load;
    m.policy = PullPolicy::kAlways;
    ensure(m);
  }

  void ensure(const EnsureImage& m) {
    auto known = known_.find(local(m.image));
    if (known != known_.end() && m.policy != PullPolicy::kAlways) {
      m.reply(known->second);
      return;
    }
    auto [it, is_new] = jobs_.try_emplace(m.image);
    it->second.waiting.push_back(m);
    if (!is_new) {
      if (it->second.phase == Phase::kPulling) tell_user(m, "Pulling image " + m.image.reference);
      return;
    }
    if (m.policy == PullPolicy::kAlways) {
      queue(m.image);
    } else {
      runtime_->find_image({m.image.reference, m.image.platform},
                           [me = caf::actor{self_}, key = m.image](auto result) {
                             act::tell(me, ImageFound{key, std::move(result)});
                           });
    }
  }

  void found(const ImageFound& m) {
    auto it = jobs_.find(m.image);
    if (it == jobs_.end() || it->second.phase != Phase::kLooking) return;
    if (!m.result) {
      finish(m.image, fail(m.result.error()));
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
                            .on = request.image.reference,
                            .cause = "it is not on this node and pull_policy is \"never\"",
                            .hint = "load it on the node or change pull_policy"}));
      } else {
        rest.push_back(request);
      }
    }
    if (image) known_[local(m.image)] = *image;
    waiting = std::move(rest);
    if (waiting.empty()) {
      jobs_.erase(it);
    } else {
      queue(m.image);
    }
  }

  void queue(const ImageKey& key) {
    jobs_.at(key).phase = Phase::kQueued;
    queue_.push_back(key);
    pull_next();
    count_pulls();
  }

  void count_pulls() const {
    PullActivity activity{queue_.size(), {}};
    for (const auto& [key, job] : jobs_) {
      if (job.phase != Phase::kPulling || key.archive) continue;
      activity.running.emplace_back(key.reference, job.bytes);
    }
    metrics_->pulls_changed(std::move(activity));
  }

  void pull_next() {
    while (pulling_ < config_->max_concurrent_pulls && !queue_.empty()) {
      const ImageKey key = std::move(queue_.front());
      queue_.pop_front();
      Job& job = jobs_.at(key);
      job.phase = Phase::kPulling;
      job.begun = std::chrono::steady_clock::now();
      job.generation = ++last_generation_;
      ++pulling_;
      auto timeout = std::chrono::nanoseconds{0};
      for (const EnsureImage& request : job.waiting) timeout = std::max(timeout, request.timeout);
      fetch(key, job, timeout);
    }
  }

  void fetch(const ImageKey& key, const Job& job, std::chrono::nanoseconds timeout) {
    const auto me = caf::actor{self_};
    const auto generation = job.generation;
    auto done = [me, key, generation](Expected<runtime::Image> result) {
      act::tell(me, ImagePulled{key, generation, std::move(result)});
    };
    const EnsureImage& first = job.waiting.front();
    if (first.load) {
      tell_all(job, "Loading image " + key.reference + " from " + *first.load);
      runtime_->load_image({{key.reference, key.platform}, *first.load, first.spec, timeout},
                           std::move(done));
      return;
    }
    tell_all(job, "Pulling image " + key.reference);
    crash_point("image.pull.begun");
    act::tell_after(me, config_->pull_activity_interval, PullTick{key, generation});
    runtime::PullRequest request;
    request.image = {key.reference, key.platform};
    if (!job.without_auth) request.auth = key.auth;
    request.timeout = timeout;
    request.stall_timeout = config_->image_pull_stall_timeout;
    request.progress = [me, key, generation](std::uint64_t bytes) {
      act::tell(me, PullProgressed{key, generation, bytes});
    };
    runtime_->pull_image(std::move(request), std::move(done));
  }

  void pulled(const ImagePulled& m) {
    auto it = jobs_.find(m.image);
    if (it == jobs_.end() || it->second.generation != m.generation) return;
    Job& job = it->second;
    --pulling_;
    if (!m.image.archive) {
      metrics_->pull_done(m.result.has_value(), std::chrono::steady_clock::now() - job.begun);
    }
    crash_point("image.pull.done");
    if (m.result) {
      known_[local(m.image)] = *m.result;
      tell_all(job,
               (job.waiting.front().load ? "Loaded image " : "Pulled image ") + m.image.reference);
    } else if (may_try_without_auth(m, job)) {
      spdlog::warn("{}; trying without credentials", m.result.error().message());
      job.without_auth = true;
      std::erase_if(job.waiting, [&](const EnsureImage& request) {
        if (!request.auth_soft_fail) request.reply(m.result);
        return !request.auth_soft_fail;
      });
      tell_all(job, "The registry refused the credentials: trying without");
      queue(m.image);
      return;
    }
    finish(m.image, m.result);
    pull_next();
    count_pulls();
  }

  static bool may_try_without_auth(const ImagePulled& m, const Job& job) {
    return m.result.error().code == ErrorCode::kAuthFailed && m.image.auth && !job.without_auth &&
           std::any_of(job.waiting.begin(), job.waiting.end(),
                       [](const EnsureImage& request) { return request.auth_soft_fail; });
  }

  void progressed(const PullProgressed& m) {
    auto it = jobs_.find(m.image);
    if (it == jobs_.end() || it->second.generation != m.generation) return;
    it->second.bytes = m.bytes;
    count_pulls();
  }

  void progress(const PullTick& m) {
    auto it = jobs_.find(m.image);
    if (it == jobs_.end() || it->second.generation != m.generation) return;
    Job& job = it->second;
    const bool last = ++job.progress_events == kMaxProgressEvents;
    const auto elapsed = std::chrono::duration_cast<std::chrono::seconds>(
        std::chrono::steady_clock::now() - job.begun);
    std::string message =
        "Still pulling image " + m.image.reference + " after " + format_duration(elapsed);
    if (job.bytes > 0) message += ", " + mebibytes(job.bytes) + " so far";
    if (last) message += "; the next event is its end";
    tell_all(job, message);
    if (!last) {
      act::tell_after(caf::actor{self_}, config_->pull_activity_interval,
                      PullTick{m.image, m.generation});
    }
  }

  void finish(const ImageKey& key, const Expected<runtime::Image>& result) {
    auto node = jobs_.extract(key);
    for (const EnsureImage& request : node.mapped().waiting) request.reply(result);
  }

  // --- removal of what no task uses ---

  void used(const ImageUsed& m) {
    released(m.task_id);
    users_[m.task_id] = m.reference;
    if (!config_ || !config_->gc.image || !kept_.insert(m.reference).second) return;
    if (kept_known_) runtime_->keep_references(kept_);
  }

  // By an earlier plugin: some wait for their removal, of some the last task has ended meanwhile.
  // Tasks that are recovered say before the delay is over that they use theirs.
  void kept(const Expected<std::set<std::string>>& references) {
    kept_known_ = true;
    if (!references) {
      spdlog::warn("images used by earlier tasks stay: {}", references.error().message());
    } else {
      kept_.insert(references->begin(), references->end());
    }
    if (!kept_.empty()) runtime_->keep_references(kept_);
    for (const std::string& reference : kept_) {
      if (!unused_.contains(reference) && !in_use(reference)) expire(reference);
    }
  }

  void released(const std::string& task_id) {
    auto node = users_.extract(task_id);
    if (!node || !config_ || !config_->gc.image || in_use(node.mapped())) return;
    expire(node.mapped());
  }

  void expire(const std::string& reference) {
    act::tell_after(caf::actor{self_}, config_->gc.image_delay,
                    ImageUnused{reference, unused_[reference] = ++last_generation_});
  }

  bool in_use(const std::string& reference) const {
    const auto names = [&](const auto& entry) { return entry.second == reference; };
    const auto wanted = [&](const auto& job) { return job.first.reference == reference; };
    return std::any_of(users_.begin(), users_.end(), names) ||
           std::any_of(jobs_.begin(), jobs_.end(), wanted);
  }

  void unused(const ImageUnused& m) {
    const auto pending = unused_.find(m.reference);
    if (pending == unused_.end() || pending->second != m.generation) return;
    unused_.erase(pending);
    if (in_use(m.reference) || !config_->gc.image) return;
    forget(m.reference);
    spdlog::info("removing image {}: no task uses it", m.reference);
    runtime_->remove_image(m.reference, [me = caf::actor{self_},
                                         reference = m.reference](const Expected<void>& removed) {
      if (!removed) return spdlog::warn("{}", removed.error().message());
      act::tell(me, ImageRemoved{reference});
    });
  }

  void removed(const std::string& reference) {
    if (unused_.contains(reference) || in_use(reference)) return;  // again, meanwhile
    if (kept_.erase(reference) > 0) runtime_->keep_references(kept_);
  }

  void tell_all(const Job& job, const std::string& message) {
    for (const EnsureImage& request : job.waiting) tell_user(request, message);
  }

  void tell_user(const EnsureImage& request, std::string message) {
    act::tell(events_, EmitEvent{{request.task.task_id,
                                  request.task.alloc_id,
                                  request.task.task_name,
                                  std::chrono::system_clock::now(),
                                  std::move(message),
                                  {{"image", request.image.reference}}}});
  }

  act::Self self_;
  caf::actor events_;
  std::shared_ptr<Metrics> metrics_;
  RuntimePtr runtime_;
  std::shared_ptr<const PluginConfig> config_;
  std::map<ImageKey, runtime::Image> known_;  // without credentials
  std::map<ImageKey, Job> jobs_;
  std::deque<ImageKey> queue_;
  std::map<std::string, std::string> users_;     // reference by task id
  std::map<std::string, std::uint64_t> unused_;  // references to be removed, with the generation
  // References that gc.image is to remove one day, as the runtime keeps them for the next plugin.
  std::set<std::string> kept_;
  bool kept_known_ = false;  // those of earlier plugins are in it
  std::int64_t pulling_ = 0;
  std::uint64_t last_generation_ = 0;
};

}  // namespace

caf::actor spawn_images(act::Self parent, caf::actor events, std::shared_ptr<Metrics> metrics) {
  return parent->spawn<act::Host<ImageActor>>(std::move(events), std::move(metrics));
}

}  // namespace ndc::actors
