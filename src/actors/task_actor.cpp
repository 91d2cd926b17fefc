#include "actors/task_actor.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/exec_collector.hpp"
#include "model/container_name.hpp"
#include "model/duration.hpp"
#include "model/labels.hpp"
#include "model/operator_policy.hpp"
#include "model/registry_auth.hpp"
#include "model/signals.hpp"
#include "runtime/crash_point.hpp"

namespace ndc::actors {
namespace {

using namespace std::chrono_literals;

// How long a recovery waits for the runtime before it is answered without.
constexpr std::chrono::nanoseconds kRecoverPatience = 2s;

// How soon the same image actor is asked again for an image, after a request to it was lost. As a
// rule there is another one before that.
constexpr std::chrono::nanoseconds kImagePause = 1s;
constexpr std::size_t kImageTurns = 16;
constexpr std::chrono::nanoseconds kImageTurn = 250ms;

}  // namespace

TaskActor::TaskActor(act::Self self, TaskSeed seed)
    : self_{self},
      watch_{self},
      seed_{std::move(seed)},
      // Not only from Begin on: a command may be there before it.
      state_{seed_.handle ? State::kRecovering : State::kPreparing},
      meter_{seed_.metrics, to_string(state_)},
      log_restarts_{seed_.limits.budget()},
      stats_restarts_{seed_.limits.budget()} {}

TaskActor::~TaskActor() {
  // Where this is a failure within the start, the driver has them open until a successor does.
  if (auto held = logs_ ? logs_->held() : nullptr) {
    act::tell(seed_.driver, LogsLeft{seed_.identity.task_id, std::move(held)});
  }
  act::tell(log_forwarder_, Stop{});
  act::tell(stats_, Stop{});
}

caf::behavior TaskActor::make_behavior() {
  act::tell(caf::actor{self_}, Begin{});
  return {
      [this](const Begin&) { begin(); },
      [this](const JobChecked& m) { job_checked(m.result); },
      [this](const ImageReady& m) { image_ready(m); },
      [this](const RequestLostImage&) { request_lost_image(); },
      [this](const LogsOpened& m) { logs_opened(m); },
      [this](const ReopenLogs&) { reopen_logs(); },
      [this](const ContainerStarted& m) { container_started(m.result); },
      [this](const ContainerAttached& m) { container_attached(m.result); },
      [this](const RecoverTimer&) { recover_timer(); },
      [this](const Reattach&) { attach(); },
      [this](const ContainerExited& m) { container_exited(m.exit); },
      [this](const LogsDrained& m) {
        if (m.generation == drain_) logs_drained();
      },
      [this](const DrainTimer&) { logs_drained(); },
      [this](const LogsBroken& m) { emit("Task log interrupted: " + m.error.message()); },
      [this](const StopTimer& m) { stop_timer(m.generation); },
      [this](const ContainerRemoved& m) { container_removed(m.result); },
      [this](const StopTask& m) { stop(m); },
      [this](const DestroyTask& m) { destroy(m); },
      [this](const SignalTask& m) { signal(m); },
      [this](const ExecTask& m) { exec(m); },
      [this](const ExecTaskStreaming& m) { exec_streaming(m); },
      [this](const InspectTask& m) { inspect(m); },
      [this](const WatchUsage& m) { watch_usage(m); },
      [this](const UseHelpers& m) { use_helpers(m); },
      [this](const Stop&) { self_->quit(); },
  };
}

const char* TaskActor::to_string(State state) {
  switch (state) {
    case State::kPreparing:
      return "preparing";
    case State::kCreating:
      return "creating";
    case State::kRecovering:
      return "recovering";
    case State::kRunning:
      return "running";
    case State::kStopping:
      return "stopping";
    case State::kExited:
      return "exited";
    case State::kDestroying:
      return "being destroyed";
  }
  return "?";
}

void TaskActor::enter(State next, const std::string& why) {
  spdlog::debug("task {}: {} -> {} ({})", seed_.identity.task_id, to_string(state_),
                to_string(next), why);
  state_ = next;
  meter_.entered(to_string(next));
}

// --- start ---------------------------------------------------------------------------------------

void TaskActor::begin() {
  const auto me = caf::actor{self_};
  if (seed_.handle) {
    enter(State::kRecovering, "handle of container " + seed_.handle->container.name);
    act::tell_after(me, kRecoverPatience, RecoverTimer{});
    // Before the log forwarder follows the container: the runtime knows it by then.
    attach();
    start_log_forwarder();
    return;
  }
  TaskConfig config = read_task_config(seed_.spec->config, config_errors_);
  config.image = image_to_use(config.image, *seed_.config);
  if (config.init_image) config.init_image = image_to_use(*config.init_image, *seed_.config);
  config_ = std::make_shared<const TaskConfig>(std::move(config));
  seed_.runtime->check(seed_.spec, config_,
                       [me](auto result) { act::tell(me, JobChecked{std::move(result)}); });
}

void TaskActor::job_checked(const Expected<void>& result) {
  if (state_ != State::kPreparing) return;
  // All that is wrong is told at once, so that nobody has to mend a job error by error. Where it is
  // wrong anyway, it does not matter that the engine could not be asked.
  std::vector<Error> errors = std::exchange(config_errors_, {});
  if (!errors.empty()) errors = {combine("read the task's config", "", errors)};
  if (!result && (errors.empty() || !result.error().recoverable())) {
    errors.push_back(result.error());
  }
  if (auto auth = credentials_for(config_->image, config_->auth, seed_.config->auth); !auth) {
    errors.push_back(std::move(auth.error()));
  }
  if (!errors.empty()) {
    start_failed(errors.size() == 1 ? errors.front() : combine({}, {}, errors));
    return;
  }
  meter_.phase_done(StartPhase::kCheck);
  crash_point("task.start.checked");
  request_image();
}

void TaskActor::request_image() {
  auto auth = credentials_for(config_->image, config_->auth, seed_.config->auth);
  if (!auth) {
    start_failed(std::move(auth.error()));
    return;
  }
  EnsureImage request;
  request.image = {config_->image, config_->platform, std::move(*auth)};
  request.policy = config_->pull_policy;
  request.timeout =
      bounded_wait(config_->image_pull_timeout.value_or(seed_.config->image_pull_timeout));
  request.auth_soft_fail = config_->auth_soft_fail.value_or(seed_.config->auth_soft_fail);
  request.load = config_->load;
  request.spec = seed_.spec;
  request.task = seed_.identity;
  request.reply = Reply<Expected<runtime::Image>>{
      [me = caf::actor{self_}](auto result) { act::tell(me, ImageReady{std::move(result)}); }};
  image_request_ = ImageRequest::kOpen;
  image_actor_ = seed_.helpers.images;
  image_asked_ = act::now(self_);
  act::tell(image_actor_, std::move(request));
}

void TaskActor::image_ready(const ImageReady& m) {
  if (state_ != State::kPreparing || image_request_ != ImageRequest::kOpen) return;
  image_request_ = ImageRequest::kNone;
  if (!m.result) return image_lost();
  image_lost_by_ = {};
  image_losses_ = image_crashes_ = 0;
  if (!*m.result) {
    start_failed(m.result->error());
    return;
  }
  image_ = **m.result;
  // From here on, that the image goes again where the start fails.
  act::tell(seed_.helpers.images, ImageUsed{seed_.identity.task_id, config_->image});
  meter_.phase_done(StartPhase::kImage);
  crash_point("task.start.image_ready");
  // Once: were the FIFOs closed for a moment, the collector would see their end and read no more.
  if (logs_) return create_container();
  start_log_forwarder();
}

// With its actor, or on the way to it. The news of a successor comes before this or after it, and
// not at all if the actor lives.
void TaskActor::image_lost() {
  const bool at_once = act::now(self_) - image_asked_ < kImagePause;
  if (image_lost_by_ != image_actor_) {
    ++image_losses_;
    if (at_once) ++image_crashes_;
  }
  // If it is this task's image that they fail at, a third one is better off without. Who waited for
  // a pull when another task's image was the reason only asks again.
  if (image_crashes_ > 1 || image_losses_ > std::max(seed_.limits.max_restarts, 1)) {
    start_failed({.code = ErrorCode::kRuntimeUnavailable,
                  .what = "find image",
                  .on = config_->image,
                  .cause = "the driver's image actor failed at it"});
    return;
  }
  image_lost_by_ = image_actor_;
  image_request_ = ImageRequest::kLost;
  if (at_once) {
    // Whose image it was shows when those who were lost together do not ask together again.
    const auto turn = std::hash<std::string>{}(seed_.identity.task_id) % kImageTurns;
    act::tell_after(caf::actor{self_}, kImagePause + turn * kImageTurn, RequestLostImage{});
  } else if (seed_.helpers.images != image_actor_) {
    request_lost_image();
  } else {
    act::tell_after(caf::actor{self_}, kImagePause, RequestLostImage{});
  }
}

void TaskActor::request_lost_image() {
  if (state_ == State::kPreparing && image_request_ == ImageRequest::kLost) request_image();
}

void TaskActor::logs_opened(const LogsOpened& m) {
  if (!m.result) return logs_unopened(m.result.error());
  logs_ = *m.result;
  open_tries_ = 0;
  if (state_ != State::kPreparing) return;
  if (image_request_ != ImageRequest::kNone) return;  // opened anew, while it is looked for
  crash_point("task.start.logs_opened");
  create_container();
}

void TaskActor::create_container() {
  meter_.phase_done(StartPhase::kLogs);
  enter(State::kCreating, "image " + image_.reference + " is there");
  runtime::StartRequest request;
  request.spec = seed_.spec;
  request.config = config_;
  request.image = image_;
  request.container_name = container_name(seed_.spec->name, seed_.spec->alloc_id);
  request.labels = config_->labels;
  for (auto& [key, value] : driver_labels(*seed_.spec, seed_.config->extra_labels)) {
    request.labels[key] = value;
  }
  request.logs = logs_;
  const auto me = caf::actor{self_};
  seed_.runtime->start(
      std::move(request), [me](TaskExit exit) { act::tell(me, ContainerExited{std::move(exit)}); },
      [me](auto result) { act::tell(me, ContainerStarted{std::move(result)}); });
}

void TaskActor::container_started(const Expected<runtime::StartedContainer>& result) {
  if (state_ != State::kCreating) return;
  if (!result) {
    // What we believed to be there was removed behind our back: look, and pull, once more.
    if (result.error().code == ErrorCode::kImageNotFound && !image_retried_) {
      image_retried_ = true;
      enter(State::kPreparing, "the image is gone");
      request_image();
      return;
    }
    start_failed(result.error());
    return;
  }
  TaskHandle handle;
  handle.task_id = seed_.identity.task_id;
  handle.task_name = seed_.identity.task_name;
  handle.alloc_id = seed_.identity.alloc_id;
  handle.node_id = seed_.spec->node_id;
  handle.runtime = std::string{seed_.runtime->name()};
  handle.container = result->container;
  if (!image_.digest.empty()) handle.container.state[runtime::kStateDigest] = image_.digest;
  handle.image = config_->image;
  handle.image_id = image_.id;
  handle.stop_signal = stop_signal();
  handle.tty = config_->tty;
  const runtime::LogPaths logs = log_paths();
  handle.stdout_path = logs.stdout_path;
  handle.stderr_path = logs.stderr_path;
  handle.started_at = result->started_at;
  handle.network = result->network;
  seed_.handle = handle;
  meter_.phase_done(StartPhase::kContainer);
  enter(State::kRunning, "container " + handle.container.name);
  crash_point("task.start.running");
  emit("Started container " + handle.container.name,
       {{"container_id", handle.container.id}, {"image_id", handle.image_id}});
  for (const std::string& note : result->notes) emit(note);
  act::tell(log_forwarder_, FollowLogs{container()});
  start_stats();
  act::tell(seed_.driver, TaskRunning{seed_.identity.task_id, std::move(handle),
                                      logs_ ? logs_->hold() : nullptr});
  if (exit_) container_exited(*exit_);  // it was faster than the news of its start
}

void TaskActor::start_failed(Error error) {
  spdlog::warn("task {}: {}", seed_.identity.task_id, error.message());
  crash_point("task.start.failed");
  act::tell(seed_.driver, TaskStartFailed{seed_.identity.task_id, std::move(error),
                                          logs_ ? logs_->held() : nullptr});
  self_->quit();
}

// --- while running -------------------------------------------------------------------------------

void TaskActor::signal(const SignalTask& m) {
  auto number = signal_number(m.signal);
  if (!number) {
    m.reply(fail(std::move(number.error())));
  } else if (!alive()) {
    m.reply(fail(wrong_state("signal task")));
  } else {
    seed_.runtime->signal(container(), *number, [reply = m.reply](auto done) { reply(done); });
  }
}

void TaskActor::exec(const ExecTask& m) {
  if (!alive()) {
    m.reply(fail(wrong_state("exec in task")));
    return;
  }
  seed_.runtime->exec(container(), m.request, std::make_shared<ExecCollector>(m.reply),
                      [reply = m.reply](Expected<std::shared_ptr<ExecSession>> session) {
                        if (!session) {
                          reply(fail(std::move(session.error())));
                          return;
                        }
                        (*session)->close_stdin();
                      });
}

void TaskActor::exec_streaming(const ExecTaskStreaming& m) {
  if (!alive()) {
    m.reply(fail(wrong_state("exec in task")));
    return;
  }
  seed_.runtime->exec(container(), m.request, m.client,
                      [reply = m.reply](auto session) { reply(std::move(session)); });
}

void TaskActor::inspect(const InspectTask& m) {
  m.reply(status_of(seed_, exit_,
                    exit_     ? ndc::TaskState::kExited
                    : alive() ? ndc::TaskState::kRunning
                              : ndc::TaskState::kUnknown));
}

TaskStatus status_of(const TaskSeed& seed, const std::optional<TaskExit>& exit, TaskState state) {
  TaskStatus status;
  status.id = seed.identity.task_id;
  status.name = seed.identity.task_name;
  status.exit = exit;
  status.state = state;
  if (seed.handle) {
    const TaskHandle& handle = *seed.handle;
    status.started_at = handle.started_at;
    status.network = handle.network;
    status.attributes = {{"container_name", handle.container.name},
                         {"container_id", handle.container.id},
                         {"image", handle.image},
                         {"image_id", handle.image_id},
                         {"runtime", handle.runtime}};
    for (const char* key :
         {runtime::kStateVersion, runtime::kStateDigest, runtime::kStateAddress}) {
      const auto found = handle.container.state.find(key);
      if (found != handle.container.state.end()) status.attributes.insert(*found);
    }
    if (handle.network) status.attributes[runtime::kStateAddress] = handle.network->address;
  }
  return status;
}

void TaskActor::watch_usage(const WatchUsage& m) {
  std::erase_if(seed_.usage, [](const WatchUsage& watch) { return watch.stream->closed(); });
  seed_.usage.push_back(m);
  act::tell(stats_, m);
}

// --- what all of it uses -------------------------------------------------------------------------

Error TaskActor::wrong_state(const char* what) const {
  return {.code = ErrorCode::kWrongState,
          .what = what,
          .on = seed_.identity.task_id,
          .cause = std::string{"the task is "} + to_string(state_)};
}

// What StopTask sends where Nomad names no signal.
int TaskActor::stop_signal() {
  if (config_->stop_signal) return signal_number(*config_->stop_signal).value_or(kSigTerm);
  if (!image_.stop_signal) return kSigTerm;
  const auto number = image_signal_number(*image_.stop_signal);
  if (number) return *number;
  emit("The image's stop signal " + ndc::quoted(*image_.stop_signal) +
       " is none of Linux: SIGTERM is sent, or what stop_signal names");
  return kSigTerm;
}

void TaskActor::emit(std::string message, std::map<std::string, std::string> annotations) {
  act::tell(
      seed_.helpers.events,
      EmitEvent{{seed_.identity.task_id, seed_.identity.alloc_id, seed_.identity.task_name,
                 std::chrono::system_clock::now(), std::move(message), std::move(annotations)}});
}

caf::actor spawn_task(act::Self parent, TaskSeed seed) {
  return parent->spawn<act::Host<TaskActor>>(std::move(seed));
}

}  // namespace ndc::actors
