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

#include "actors/pull_slots.hpp"
#include "actors/spawn.hpp"
#include "model/duration.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

// Nomad keeps the last ten events of a task. With its beginning and its end a pull makes no more,
// so that a long one neither fills the list again and again nor hides how it began.
constexpr int kMaxProgressEvents = 8;

// Less time than this is left for nothing.
constexpr std::chrono::seconds kShortestTry{1};

std::string mebibytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

class ImageActor {
 public:
  static constexpr const char* name = "image_actor";
  ImageActor(act::Self self, caf::actor events, std::shared_ptr<Metrics> metrics,
             std::shared_ptr<PullSlots> slots)
      : self_{self},
        events_{std::move(events)},
        metrics_{std::move(metrics)},
        slots_{std::move(slots)},
        served_{slots_->serve(caf::actor{self})} {
    count_pulls();  // none is for anybody, whatever a crashed predecessor was at
  }
  ~ImageActor() { slots_->end(served_); }
  ImageActor(const ImageActor&) = delete;
  ImageActor& operator=(const ImageActor&) = delete;

  caf::behavior make_behavior() {
    return {
        [this](const UseRuntime& m) { use(m); },
        [this](const UseHelpers& m) { events_ = m.helpers.events; },
        [this](const EnsureImage& m) { request(m); },
        [this](const ImageFound& m) { found(m); },
        [this](const ImagePulled& m) { pulled(m); },
        [this](const PullSlotFree&) {
          pull_next();
          count_pulls();
        },
        [this](const PullProgressed& m) { progressed(m); },
        [this](const PullTick& m) { progress(m); },
        [this](const PullWaitOver& m) { wait_over(m); },
        [this](const ImageUsed& m) { used(m); },
        [this](const ImageReleased& m) { released(m.task_id); },
        [this](const ImageUnused& m) { unused(m); },
        [this](const ImageRemoved& m) { removed(m.reference); },
        [this](const ImagesKept& m) { kept(m.references); },
        [this](const Stop&) { self_->quit(); },
    };
  }

 private:
  using Time = std::chrono::steady_clock::time_point;

  // A task that waits for a pull. Its time begins with the pull, or when it joins one.
  struct Waiting {
    EnsureImage request;
    Time until{};
    std::uint64_t number = 0;
  };

  // All tasks that wait for one pull, or for one archive.
  struct Job {
    bool pulling = false;  // not in the queue any more
    std::vector<Waiting> waiting;
    Time begun{};
    Time until{};
    std::uint64_t generation = 0;
    std::uint64_t bytes = 0;
    int progress_events = 0;
    bool without_auth = false;  // auth_soft_fail: the credentials were refused
  };

  void use(const UseRuntime& m) {
    runtime_ = m.runtime;
    config_ = m.config;
    if (!config_->gc.image) return;
    runtime_->kept_references([me = caf::actor{self_}](auto references) {
      act::tell(me, ImagesKept{std::move(references)});
    });
  }

  // What is on the node is there for everybody, whoever's credentials brought it.
  static ImageKey local(ImageKey key) {
    key.auth.reset();
    return key;
  }

  void request(const EnsureImage& m) {
    if (runtime_) return m.load ? ensure_loaded(m) : ensure(m);
    m.reply(fail({.code = ErrorCode::kRuntimeUnavailable,
                  .what = "find image",
                  .on = m.image.reference,
                  .cause = "the driver's image actor has not been told of the runtime"}));
  }

  // What a task brings along it wants to run, whatever else has this name by now.
  void ensure_loaded(EnsureImage m) {
    m.image.archive = m.spec->task_dir() + "/" + *m.load;
    join(m);
  }

  // Looked for each time: a name may mean another image by now, or none. Those who come while it is
  // looked for share the answer.
  void ensure(const EnsureImage& m) {
    if (m.policy == PullPolicy::kAlways) return join(m);
    const ImageKey key = local(m.image);
    auto [it, is_new] = looking_.try_emplace(key);
    it->second.push_back(m);
    if (!is_new) return;
    runtime_->find_image({key.reference, key.platform}, [me = caf::actor{self_}, key](auto result) {
      act::tell(me, ImageFound{key, std::move(result)});
    });
  }

  void found(const ImageFound& m) {
    const auto node = looking_.extract(m.image);
    if (!node) return;
    for (const EnsureImage& request : node.mapped()) {
      if (!m.result) {
        request.reply(fail(m.result.error()));
      } else if (const std::optional<runtime::Image>& image = *m.result) {
        request.reply(*image);
      } else if (request.policy == PullPolicy::kNever) {
        request.reply(fail({.code = ErrorCode::kImageNotFound,
                            .what = "find image",
                            .on = request.image.reference,
                            .cause = "it is not on this node and pull_policy is \"never\"",
                            .hint = "load it on the node or change pull_policy"}));
      } else {
        join(request);
      }
    }
  }

  void join(const EnsureImage& m) {
    auto [it, is_new] = jobs_.try_emplace(m.image);
    Job& job = it->second;
    job.waiting.push_back({m, {}, ++last_number_});
    if (is_new) return queue(m.image);
    if (!job.pulling) return;
    tell_user(m, "Pulling image " + m.image.reference);
    begin_wait(m.image, job, job.waiting.back(), act::now(self_));
  }

  // The engine ends a pull whose time is over; a task that gave it less does not wait for that.
  void begin_wait(const ImageKey& key, const Job& job, Waiting& waiting, Time from) {
    waiting.until = from + waiting.request.timeout;
    if (waiting.until >= job.until) return;
    act::tell_after(caf::actor{self_}, waiting.request.timeout, PullWaitOver{key, waiting.number});
  }

  void wait_over(const PullWaitOver& m) {
    const auto it = jobs_.find(m.image);
    if (it == jobs_.end()) return;
    std::erase_if(it->second.waiting, [&](const Waiting& waiting) {
      if (waiting.number != m.number) return false;
      waiting.request.reply(
          fail({.code = ErrorCode::kTimeout,
                .what = "pull image",
                .on = m.image.reference,
                .cause = "it was not done within " + format_duration(waiting.request.timeout) +
                         "; a task that waits for longer goes on with it",
                .hint = "check the registry and the network, or raise image_pull_timeout"}));
      return true;
    });
  }

  void queue(const ImageKey& key) {
    jobs_.at(key).pulling = false;
    queue_.push_back(key);
    pull_next();
    count_pulls();
  }

  void count_pulls() const {
    PullActivity activity{queue_.size(), {}};
    for (const auto& [key, job] : jobs_) {
      if (!job.pulling || key.archive) continue;
      activity.running.emplace_back(key.reference, job.bytes);
    }
    metrics_->pulls_changed(std::move(activity));
  }

  void pull_next() {
    while (!queue_.empty() && slots_->taken() < config_->max_concurrent_pulls) {
      const ImageKey key = std::move(queue_.front());
      queue_.pop_front();
      Job& job = jobs_.at(key);
      if (job.waiting.empty()) {  // it was queued again, and nobody waits any more
        jobs_.erase(key);
        continue;
      }
      job.pulling = true;
      job.begun = act::now(self_);
      job.generation = ++last_generation_;
      auto timeout = std::chrono::nanoseconds{0};
      for (const Waiting& each : job.waiting) timeout = std::max(timeout, each.request.timeout);
      job.until = job.begun + timeout;
      for (Waiting& each : job.waiting) begin_wait(key, job, each, job.begun);
      fetch(key, job, timeout);
    }
  }

  void fetch(const ImageKey& key, const Job& job, std::chrono::nanoseconds timeout) {
    const auto me = caf::actor{self_};
    const auto generation = job.generation;
    // The slot is taken for as long as the engine is at it, whatever becomes of this actor.
    slots_->take();
    const Reply<Expected<runtime::Image>> reply{
        [me, key, generation, slots = slots_](std::optional<Expected<runtime::Image>> result) {
          if (result) act::tell(me, ImagePulled{key, generation, std::move(*result)});
          slots->give_back();
        }};
    auto done = [reply](Expected<runtime::Image> result) { reply(std::move(result)); };
    const EnsureImage& first = job.waiting.front().request;
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
    if (!m.image.archive) {
      metrics_->pull_done(m.result.has_value(), act::now(self_) - job.begun);
    }
    crash_point("image.pull.done");
    if (m.result) {
      tell_all(job, (m.image.archive ? "Loaded image " : "Pulled image ") + m.image.reference);
    } else if (may_try_without_auth(m, job)) {
      spdlog::warn("{}; trying without credentials", m.result.error().message());
      job.without_auth = true;
      std::erase_if(job.waiting, [&](const Waiting& waiting) {
        if (!waiting.request.auth_soft_fail) waiting.request.reply(m.result);
        return !waiting.request.auth_soft_fail;
      });
      tell_all(job, m.result.error().message() + "; trying without these credentials");
      queue(m.image);
      return;
    } else if (keep_those_with_time(m, job)) {
      tell_all(job, m.result.error().message() + "; trying again for as long as this task waits");
      queue(m.image);
      return;
    }
    finish(m.image, m.result);
    pull_next();
    count_pulls();
  }

  // Those who joined a pull may give it more time than those for whom it was begun.
  bool keep_those_with_time(const ImagePulled& m, Job& job) const {
    const Time now = act::now(self_);
    if (m.result.error().code != ErrorCode::kTimeout || now < job.until) return false;
    std::erase_if(job.waiting, [&](Waiting& waiting) {
      const bool over = waiting.until <= job.until || waiting.until - now < kShortestTry;
      if (over) {
        waiting.request.reply(m.result);
      } else {
        waiting.request.timeout = waiting.until - now;
      }
      return over;
    });
    return !job.waiting.empty();
  }

  static bool may_try_without_auth(const ImagePulled& m, const Job& job) {
    return m.result.error().code == ErrorCode::kAuthFailed && m.image.auth && !job.without_auth &&
           std::any_of(job.waiting.begin(), job.waiting.end(),
                       [](const Waiting& waiting) { return waiting.request.auth_soft_fail; });
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
    const auto elapsed =
        std::chrono::duration_cast<std::chrono::seconds>(act::now(self_) - job.begun);
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
    for (const Waiting& waiting : node.mapped().waiting) waiting.request.reply(result);
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
    const auto wanted = [&](const auto& entry) { return entry.first.reference == reference; };
    return std::any_of(users_.begin(), users_.end(), names) ||
           std::any_of(looking_.begin(), looking_.end(), wanted) ||
           std::any_of(jobs_.begin(), jobs_.end(), wanted);
  }

  void unused(const ImageUnused& m) {
    const auto pending = unused_.find(m.reference);
    if (pending == unused_.end() || pending->second != m.generation) return;
    unused_.erase(pending);
    if (in_use(m.reference) || !config_->gc.image) return;
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
    for (const Waiting& waiting : job.waiting) tell_user(waiting.request, message);
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
  std::shared_ptr<PullSlots> slots_;
  std::uint64_t served_;  // slots_ tell this actor, not a successor
  RuntimePtr runtime_;
  std::shared_ptr<const PluginConfig> config_;
  std::map<ImageKey, std::vector<EnsureImage>> looking_;  // without credentials
  std::map<ImageKey, Job> jobs_;
  std::deque<ImageKey> queue_;
  std::map<std::string, std::string> users_;     // reference by task id
  std::map<std::string, std::uint64_t> unused_;  // references to be removed, with the generation
  // References that gc.image is to remove one day, as the runtime keeps them for the next plugin.
  std::set<std::string> kept_;
  bool kept_known_ = false;  // those of earlier plugins are in it
  std::uint64_t last_generation_ = 0;
  std::uint64_t last_number_ = 0;
};

}  // namespace

caf::actor spawn_images(act::Self parent, caf::actor events, std::shared_ptr<Metrics> metrics,
                        std::shared_ptr<PullSlots> slots) {
  return parent->spawn<act::Host<ImageActor>>(std::move(events), std::move(metrics),
                                              std::move(slots));
}

}  // namespace ndc::actors
