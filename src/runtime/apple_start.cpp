#include "runtime/apple_start.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/image_reference.hpp"
#include "model/labels.hpp"
#include "runtime/apple_errors.hpp"
#include "runtime/apple_peer.hpp"
#include "runtime/apple_removal.hpp"
#include "runtime/apple_version.hpp"
#include "runtime/call_lock.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/state_leftovers.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

constexpr const char* kStartContainer = "start container";

// How long a new attempt waits for the monitor of the one before, whose container is gone: as a
// rule some milliseconds, and without end where no log collector takes what it has. Then it is told
// to quit, and with it goes a CLI that hangs, after five seconds.
constexpr auto kMonitorPause = 20ms;
constexpr int kMonitorTries = 150;
constexpr int kQuitTries = 300;

constexpr int kNetworkTries = 3;

constexpr int kUsage = 64;  // the CLI has refused its arguments, and asked nothing of the daemon

std::string label(const AppleContainer& container, const char* name) {
  const auto found = container.labels.find(name);
  return found == container.labels.end() ? "" : found->second;
}

// The address and ports of a task, for Nomad's services. As with Nomad's docker driver the built-in
// network is reached through the host's ports.
std::optional<DriverNetwork> driver_network(const TaskSpec& spec, const TaskConfig& config,
                                            const AppleContainer& container) {
  if (container.addresses.empty()) return std::nullopt;
  DriverNetwork network;
  network.address = container.addresses.front().address;
  for (const PortMapping& port : spec.ports) {
    const auto& wanted = config.ports;
    if (std::find(wanted.begin(), wanted.end(), port.label) != wanted.end()) {
      network.ports[port.label] = port.task_port;
    }
  }
  network.auto_advertise = config.network_mode.kind == NetworkMode::Kind::kNamed;
  return network;
}

}  // namespace

AppleStart::AppleStart(const AppleWatchTools& tools, std::shared_ptr<AppleNetworks> networks,
                       const PluginConfig& config, StartRequest request, std::string id,
                       std::shared_ptr<AppleWatch> known, Done<Outcome> done)
    : tools_{tools},
      networks_{std::move(networks)},
      config_{config},
      request_{std::move(request)},
      id_{std::move(id)},
      watch_{std::move(known)},
      done_{std::move(done)},
      files_{config_.state_dir, id_} {}

void AppleStart::begin() {
  if (watch_ && watch_->ended()) {
    watch_->dismiss();
    watch_.reset();
  }
  container_stays_ = watch_ != nullptr;
  tools_.cli->version([self = shared_from_this()](const Expected<VersionNumber>& version) {
    if (!version) return self->answer(version.error());
    self->prepare(*version);
  });
}

void AppleStart::prepare(const VersionNumber& version) {
  const TaskSpec& spec = *request_.spec;
  const TaskConfig& config = *request_.config;
  wanted_.spec = &spec;
  wanted_.config = &config;
  wanted_.version = version;
  wanted_.image = without_transport(request_.image.reference);
  wanted_.id = id_;
  wanted_.labels.assign(request_.labels.begin(), request_.labels.end());
  wanted_.host_cpus = std::max(1u, std::thread::hardware_concurrency());
  if (auto taken = take_paths(version); !taken) return answer(std::move(taken.error()));
  // What an earlier plugin began to remove may be removed by a CLI that outlived it.
  await_calls(tools_.cli->loop(), files_.directory(), config_.command_timeout,
              [self = shared_from_this()] { self->choose_network(); });
}

void AppleStart::choose_network() {
  const NetworkMode& mode = request_.config->network_mode;
  if (mode.kind != NetworkMode::Kind::kTask) return create();
  if (mode.name == request_.spec->name) return make_network();
  find_peer();
}

Expected<void> AppleStart::take_paths(const VersionNumber& version) {
  const TaskSpec& spec = *request_.spec;
  const TaskConfig& config = *request_.config;
  const auto remember = [this](const std::string& path) {
    if (restricts(config_.volumes)) checked_.push_back(checked_path(path));
  };
  auto mounts = resolve_mounts(spec, config, config_.volumes);
  if (!mounts) return fail(std::move(mounts.error()));
  for (const ContainerMount& mount : *mounts) {
    if (mount.guarded) remember(mount.source);
  }
  auto shares = apple_mounts(*mounts, version);
  if (!shares) return fail(std::move(shares.error()).wrap("start task", spec.name));
  wanted_.mounts = std::move(*shares);
  auto sockets = apple_sockets(spec, config, config_.volumes);
  if (!sockets) return fail(std::move(sockets.error()));
  wanted_.sockets = std::move(*sockets);
  for (const Volume& socket : wanted_.sockets) {
    remember(socket.source.substr(0, std::max<std::size_t>(socket.source.rfind('/'), 1)));
  }
  if (config.kernel) {
    auto kernel = allowed_path(spec, *config.kernel, config_.volumes);
    if (!kernel) return fail(std::move(kernel.error()));
    wanted_.kernel = std::move(*kernel);
    remember(*wanted_.kernel);
  }
  return {};
}

void AppleStart::make_network() {
  ++network_tries_;
  networks_->ensure(*request_.spec, [self = shared_from_this()](Expected<std::string> network) {
    if (!network) return self->answer(std::move(network.error()).wrap(kStartContainer, self->id_));
    self->wanted_.private_network = std::move(*network);
    self->create();
  });
}

void AppleStart::find_peer() {
  await_apple_peer(
      tools_.cli, request_.spec, request_.config->network_mode.name, config_.peer_patience(),
      [self = shared_from_this()](Expected<ApplePeer> peer) {
        if (!peer) {
          return self->answer(std::move(peer.error()).wrap(kStartContainer, self->id_));
        }
        self->wanted_.peer = std::move(*peer);
        self->create();
      });
}

// An attempt of this name runs, or an earlier call for this very task got as far as running it, and
// its plugin died before it answered. The task may have ended since, and its monitor with it: what
// they left is all that tells of the exit, and must not be removed to make place.
bool AppleStart::ran_before() const {
  const std::string& directory = files_.directory();
  if (living_monitor(directory) != 0) return true;
  // This start has made the files, or seen that the container has gone: what the spools hold waits
  // for its collector.
  if (owns_files_ || replaced_) return false;
  if (owner_task(directory) != request_.spec->id) return false;
  const RecordLook look = look_for_exit_record(directory);
  return look.record || look.damaged || !look.known || has_spooled(directory);
}

// Told only where the engine cannot be asked, or does not do what it says: else what it has is
// judged.
Error AppleStart::left_by_earlier() const {
  return {ErrorCode::kRuntimeUnavailable, kStartContainer, id_,
          "an earlier attempt has run here, and what became of it is not known",
          "if it stays so, remove it: container delete --force " + id_};
}

void AppleStart::create() {
  // A watch of an earlier start of this id may still be there, and its container the task itself.
  if (!watch_ && ran_before()) return namesake({left_by_earlier(), true});
  if (sockets_are_there(wanted_.sockets)) return make_room_for_sockets();
  make_container();
}

// Whose are they? A container of ours may listen there though nothing else tells of it: its monitor
// was killed, or it is followed still. The CLI would refuse the socket before it names the
// container, so that is looked for first.
void AppleStart::make_room_for_sockets() {
  tools_.cli->find(
      id_, [self = shared_from_this()](const Expected<std::optional<AppleContainer>>& found) {
        if (!found) {
          Error error = found.error();
          return self->answer(std::move(error).wrap(kStartContainer, self->id_));
        }
        if (*found && self->is_ours(**found)) {
          self->hold_logs();
          return self->judge_namesake(**found, {self->left_by_earlier(), true});
        }
        // The other task may have been waited for since the paths were allowed.
        if (auto error = led_elsewhere(self->checked_)) {
          return self->answer(std::move(*error).wrap(kStartContainer, self->id_));
        }
        if (auto cleared = clear_sockets(self->wanted_.sockets); !cleared) {
          // The machine that has just been removed may take a moment to close them.
          if (self->replaced_) cleared.error().code = ErrorCode::kRuntimeUnavailable;
          return self->answer(std::move(cleared.error()).wrap(kStartContainer, self->id_));
        }
        self->make_container();
      });
}

void AppleStart::make_container() {
  if (!watch_) {
    owns_files_ = true;
    note_damaged_output();
    if (auto made = files_.make(driver_labels(*request_.spec, {})); !made)
      return answer(std::move(made.error()));
  }
  crash_point("apple.start.prepared");
  wanted_.env_file = files_.directory() + "/environment";
  auto arguments = apple_arguments(wanted_);
  if (!arguments) return answer(std::move(arguments.error()));
  arguments_ = std::move(*arguments);
  Command create = tools_.cli->command(AppleCall::create(arguments_));
  const auto& own = arguments_.environment.own_entries;
  create.environment.insert(create.environment.end(), own.begin(), own.end());
  if (!arguments_.environment.file.empty()) {
    files_.remove_environment();
    auto written = files_.write_environment(arguments_.environment.file);
    if (!written) return answer(std::move(written.error()));
    crash_point("apple.start.environment_written");
  }
  // On the first use the engine fetches its kernel and its init image, or the one of the job.
  create.timeout = std::max(
      create.timeout, request_.config->image_pull_timeout.value_or(config_.image_pull_timeout));
  tools_.cli->run(std::move(create), AppleCli::Kind::kCreate,
                  [self = shared_from_this()](Expected<CommandResult> result) {
                    self->files_.remove_environment();
                    self->created(std::move(result));
                  });
  crash_point("apple.start.create_spawned");
}

void AppleStart::created(Expected<CommandResult> result) {
  tools_.cli->create_ended(id_, result);
  if (!result) return namesake({std::move(result.error()).wrap(kStartContainer, id_)});
  if (result->status == ExitStatus{Exited{0}}) return launch_monitor();
  const std::string& network = wanted_.private_network;
  const bool lost_network = !network.empty() && result->err.find("network " + network +
                                                                 " not found") != std::string::npos;
  // The last container on it went just before ours referred to it.
  if (lost_network && network_tries_ < kNetworkTries) return make_network();
  Error error = create_error(*result);
  if (result->status == ExitStatus{Exited{kUsage}}) return answer(std::move(error));
  // Contract 1, 12: one that was killed, or did not wait for the daemon's answer, may have created
  // it nevertheless.
  namesake({std::move(error), says_already_exists(result->err)});
}

Error AppleStart::create_error(const CommandResult& result) const {
  Error error = apple_error(kStartContainer, id_, result.status, result.err);
  if (says_daemon_timed_out(result.err)) {
    error.code = ErrorCode::kTimeout;
    error.hint = "check the node: container system status";
  }
  return error;
}

void AppleStart::namesake(Obstacle obstacle) {
  crash_point("apple.start.namesake");
  if (obstacle.name_taken) hold_logs();
  tools_.cli->find(id_, [self = shared_from_this(), obstacle = std::move(obstacle)](
                            const Expected<std::optional<AppleContainer>>& found) {
    // The monitor of an earlier attempt may outlive its container for a moment.
    const bool gone = found && !*found && obstacle.name_taken;
    if (gone && !std::exchange(self->replaced_, true)) {
      return self->await_monitor(kMonitorTries + kQuitTries);
    }
    // A create that was not answered may have made it.
    if (!found && self->owns_files_) self->leave_container();
    if (!found || !*found) return self->answer(obstacle.error);
    self->judge_namesake(**found, obstacle);
  });
}

// This attempt's, or an earlier one's.
bool AppleStart::is_ours(const AppleContainer& found) const {
  const TaskSpec& spec = *request_.spec;
  return label(found, kLabelTaskId) == spec.id ||
         (!spec.alloc_id.empty() && label(found, kLabelAllocId) == spec.alloc_id);
}

void AppleStart::judge_namesake(const AppleContainer& found, const Obstacle& obstacle) {
  // An earlier call for this very attempt got as far as starting it: this is the task.
  if (label(found, kLabelTaskId) == request_.spec->id && found.was_started()) return adopt(found);
  if (is_ours(found)) return replace(obstacle);
  if (!obstacle.name_taken) return answer(obstacle.error);  // which had nothing to do with it
  answer({ErrorCode::kAlreadyExists, kStartContainer, id_,
          "a container of this name exists and is not ours",
          "remove it: container delete --force " + id_});
}

// As soon as an earlier attempt does not any more.
void AppleStart::hold_logs() {
  if (request_.logs) request_.logs->hold();
}

void AppleStart::adopt(const AppleContainer& found) {
  hold_logs();
  if (watch_) return answer(found);  // it has never been out of sight
  watch_ = std::make_shared<AppleWatch>(tools_, files_, id_);
  watch_->begin_attach([self = shared_from_this(), found](const Expected<Attached>& result) {
    if (!result) return self->answer(result.error());
    self->answer(found);
  });
}

void AppleStart::replace(const Obstacle& obstacle) {
  if (std::exchange(replaced_, true) || !obstacle.name_taken) {
    return remove_and_answer(obstacle.error);
  }
  crash_point("apple.start.replacing");
  remove_apple_container(
      tools_.cli,
      {"remove an earlier attempt's container", id_, files_.directory(), AppleCli::Kind::kNormal},
      [self = shared_from_this()](Expected<void> removed) {
        self->container_stays_ = !removed;
        if (!removed) return self->answer(std::move(removed.error()));
        if (self->watch_) self->watch_->dismiss();
        self->watch_.reset();
        self->await_monitor(kMonitorTries + kQuitTries);
      });
}

// The earlier attempt's last output comes before everything of the next one: its monitor delivers
// it, or ours does once that is gone. What nobody has read from the FIFOs stays there for as long
// as we hold them.
void AppleStart::await_monitor(int tries) {
  const bool lives = living_monitor(files_.directory()) != 0;
  // It waits for a CLI that hangs, and once its files are gone nobody would find it again.
  if (lives && tries == kQuitTries) std::make_shared<AppleWatch>(tools_, files_, id_)->dismiss();
  const std::uint64_t left = spooled(files_.directory());
  if (!lives) {
    files_.remove_all_but_output();
    return create();
  }
  if (tries == 0 || (tries <= kQuitTries && left == 0)) {
    if (left > 0) {
      spdlog::warn(
          "container {}: {} bytes of an earlier attempt's output are lost: its monitor "
          "does not end",
          id_, left);
    }
    files_.remove();
    return create();
  }
  pause_ = tools_.cli->loop().after(
      kMonitorPause, [self = shared_from_this(), tries] { self->await_monitor(tries - 1); });
}

// Of an earlier attempt, whose own user has not been told where it was damaged since.
void AppleStart::note_damaged_output() {
  if (!is_of_task(files_.directory(), request_.spec->id)) return;
  const auto damage = spool_damage(files_);
  if (!damage) return;
  spdlog::warn("{}", damage->message());
  notes_.push_back("Task log interrupted: " + damage->message());
}

void AppleStart::launch_monitor() {
  crash_point("apple.start.created");
  // The engine opens the host's paths by itself, and only now: one that was swapped since it was
  // checked is seen here, one that is swapped while it starts in started().
  if (auto error = led_elsewhere(checked_)) {
    return remove_and_answer(std::move(*error).wrap(kStartContainer, id_));
  }
  auto program = tools_.cli->program();
  if (!program) return remove_and_answer(program.error());
  const TaskConfig& config = *request_.config;
  // Nomad makes no FIFOs for logs that nobody collects.
  const LogPaths logs = config_.disable_log_collection
                            ? LogPaths{"/dev/null", "/dev/null"}
                            : LogPaths{request_.spec->stdout_path, request_.spec->stderr_path};
  MonitorStreams streams = MonitorStreams::kPipes;
  if (config.interactive) streams = MonitorStreams::kPipesAndStdin;
  if (config.tty) streams = MonitorStreams::kTerminal;
  Command launch = monitor_command(tools_.monitor_program, files_, logs, streams,
                                   AppleCall::start(id_, config).argv(*program));
  launch.timeout = tools_.cli->timeout();
  run_command(tools_.cli->loop(), std::move(launch),
              [self = shared_from_this()](const Expected<CommandResult>& result) {
                self->monitor_launched(result);
              });
  crash_point("apple.start.monitor_spawned");
}

void AppleStart::monitor_launched(const Expected<CommandResult>& result) {
  if (!result || result->status != ExitStatus{Exited{0}}) {
    Error error{ErrorCode::kInternal, "start the monitor of", id_,
                result ? valid_utf8(result->err.substr(0, result->err.find('\n')))
                       : result.error().message(),
                "check state_dir in the plugin's configuration"};
    if (result && std::holds_alternative<Signalled>(result->status)) {
      error = {ErrorCode::kRuntimeUnavailable, "start the monitor of", id_, "it was killed", {}};
    }
    return remove_and_answer(error);
  }
  crash_point("apple.start.monitor_launched");
  watch_ = std::make_shared<AppleWatch>(tools_, files_, id_);
  watch_->begin_start([self = shared_from_this()](Expected<AppleContainer> container) {
    self->started(std::move(container));
  });
}

void AppleStart::started(Expected<AppleContainer> result) {
  if (!result) return remove_and_answer(result.error());
  crash_point("apple.start.started");
  if (auto error = led_elsewhere(checked_)) {
    return remove_and_answer(std::move(*error).wrap(kStartContainer, id_));
  }
  answer(*result);
}

void AppleStart::remove_and_answer(const Error& error) {
  crash_point("apple.start.removing");
  if (watch_) hold_logs();  // its monitor has had them
  owns_files_ = true;       // without its container nobody has use for them
  remove_apple_container(tools_.cli, {"remove what was left of container", id_, files_.directory()},
                         [self = shared_from_this(), error](const Expected<void>& removed) {
                           Error told = error;
                           self->container_stays_ = false;
                           if (!removed) {
                             told.cause += "; and " + removed.error().message();
                             self->leave_container();
                           }
                           self->answer(std::move(told));
                         });
}

// For the reaper, which finds a container's monitor by its files.
void AppleStart::leave_container() {
  files_.note_failed_start();
  container_stays_ = true;
}

void AppleStart::answer(Error error) {
  crash_point("apple.start.failed");
  const bool others = !watch_ && living_monitor(files_.directory()) != 0;
  auto release = [self = shared_from_this(), error = std::move(error)]() mutable {
    self->networks_->release(
        self->wanted_.private_network,
        [self, error = std::move(error)]() mutable { self->done_(fail(std::move(error))); });
  };
  if (container_stays_ || others || (!watch_ && !owns_files_)) return release();
  // What waits for the collector is the next attempt's to deliver, as after a task's end.
  auto clean = [self = shared_from_this(), release = std::move(release)]() mutable {
    remove_files(self->tools_, self->files_);
    release();
  };
  if (!watch_) return clean();
  watch_->dismiss(std::move(clean));
}

void AppleStart::answer(const AppleContainer& container) {
  Outcome out;
  out.watch = watch_;
  out.container.container.name = id_;
  out.container.container.id = id_;
  out.container.container.state[kStateVersion] = wanted_.version.text();
  const std::string own = allocation_network(request_.spec->alloc_id);
  const std::vector<std::string> joined =
      wanted_.peer ? wanted_.peer->networks : std::vector{wanted_.private_network};
  if (std::find(joined.begin(), joined.end(), own) != joined.end()) {
    out.container.container.state[kNetworkState] = own;
  }
  const auto now = std::chrono::system_clock::now();
  out.container.started_at = container.started.value_or(container.created.value_or(now));
  out.container.network = driver_network(*request_.spec, *request_.config, container);
  out.container.notes = std::move(notes_);
  out.container.notes.insert(out.container.notes.end(), arguments_.notes.begin(),
                             arguments_.notes.end());
  if (!shares_parent_directories(wanted_.version)) {
    for (const AppleMount& mount : wanted_.mounts) {
      if (mount.kind != AppleMount::Kind::kFile) continue;
      out.container.notes.push_back("The file " + mount.target +
                                    " is what it was at the start: if it is replaced on the host, "
                                    "the task does not see it");
    }
  }
  done_(std::move(out));
}

}  // namespace ndc::runtime
