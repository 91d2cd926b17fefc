#include "runtime/podman_start_linux.hpp"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/labels.hpp"
#include "runtime/anonymous_file.hpp"
#include "runtime/call_lock.hpp"
#include "runtime/cgroup_linux.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/log_route.hpp"
#include "runtime/mount_guard_linux.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/netns_linux.hpp"
#include "runtime/podman_abandoned_linux.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/podman_remove_linux.hpp"
#include "runtime/port_owner_linux.hpp"
#include "runtime/proc_linux.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kStartContainer = "start container";

std::string label(const PodmanContainer& container, const char* name) {
  const auto found = container.labels.find(name);
  return found == container.labels.end() ? "" : found->second;
}

}  // namespace

std::optional<DriverNetwork> driver_network(const TaskSpec& spec, const TaskConfig& config,
                                            std::string address) {
  if (!has_own_address(spec, config) || address.empty()) return std::nullopt;
  DriverNetwork network;
  network.address = std::move(address);
  for (const PortMapping& port : spec.ports) {
    const auto& wanted = config.ports;
    if (std::find(wanted.begin(), wanted.end(), port.label) != wanted.end()) {
      network.ports[port.label] = port.task_port;
    }
  }
  // As Nomad's docker driver: the default bridge is reached through the host's ports.
  network.auto_advertise = config.network_mode.kind == NetworkMode::Kind::kNamed;
  return network;
}

PodmanStart::PodmanStart(EventLoop& loop, std::shared_ptr<PodmanCli> cli,
                         const PluginConfig& config, const std::string& state_dir,
                         StartRequest request, Done<StartedContainer> done)
    : loop_{loop},
      cli_{std::move(cli)},
      config_{config},
      state_dir_{state_dir},
      request_{std::move(request)},
      done_{std::move(done)},
      files_{state_dir, request_.container_name} {}

void PodmanStart::begin() {
  auto mounts = resolve_mounts(*request_.spec, *request_.config, config_.volumes);
  if (!mounts) return answer(std::move(mounts.error()));
  PodmanRequest wanted;
  wanted.spec = request_.spec.get();
  wanted.config = request_.config.get();
  // By its id: the name may mean another image by now, of another platform for example.
  const Image& image = request_.image;
  wanted.image = is_container_id(image.id) ? image.id : image.reference;
  wanted.name = request_.container_name;
  wanted.labels.assign(request_.labels.begin(), request_.labels.end());
  // Again: links may lead elsewhere by now.
  auto devices = resolve_devices(*request_.config, config_);
  if (!devices.errors.empty()) return answer(combine({}, {}, devices.errors));
  wanted.devices = std::move(devices.devices);
  mounts_ = std::move(*mounts);
  wanted.mounts = mounts_;
  wanted.pid_file = files_.pid_file();
  wanted.conmon_pid_file = files_.conmon_pid_file();
  wanted.log_file = files_.log_file();
  if (request_.config->ssh_agent) wanted.ssh_agent_socket = ssh_agent_socket();
  if (const auto& group = request_.spec->group_network) {
    wanted.group_address =
        group->address.empty() ? namespace_address(group->namespace_path) : group->address;
  }
  auto arguments = podman_arguments(wanted);
  if (!arguments) return answer(std::move(arguments.error()));
  arguments_ = std::move(*arguments);
  group_address_ = wanted.group_address;
  const NetworkMode& mode = request_.config->network_mode;
  // The start that an earlier plugin gave up may be removed by a podman that outlived it.
  await_calls(loop_, files_.directory(), config_.command_timeout,
              [self = shared_from_this(), mode] {
                if (mode.kind == NetworkMode::Kind::kTask) return self->launch_beside(mode.name);
                self->launch();
              });
}

void PodmanStart::launch_beside(const std::string& peer) {
  await_peer(loop_, state_dir_, request_.spec, peer, config_.peer_patience(),
             [self = shared_from_this()](Expected<NetworkOwner> owner) {
               if (!owner) {
                 return self->answer(
                     std::move(owner.error()).wrap(kStartContainer, self->request_.container_name));
               }
               self->network_owner_ = std::move(*owner);
               self->launch();
             });
}

Expected<Command> PodmanStart::command(const std::string& verb,
                                       std::vector<std::string> options) const {
  auto environment = anonymous_file(arguments_.environment.file);
  if (!environment) return fail(std::move(environment.error()));
  options.insert(options.begin(), verb);
  options.insert(options.end(), arguments_.options.begin(), arguments_.options.end());
  options.insert(options.end(), arguments_.tail.begin(), arguments_.tail.end());
  Command out = cli_->command(std::move(options));
  const auto& own = arguments_.environment.own_entries;
  // Of two entries podman would take the first.
  std::erase_if(out.environment, [&own](const std::string& inherited) {
    return std::any_of(own.begin(), own.end(), [&inherited](const std::string& entry) {
      return entry.starts_with(std::string_view{inherited}.substr(0, inherited.find('=') + 1));
    });
  });
  out.environment.insert(out.environment.end(), own.begin(), own.end());
  out.extra_fd = std::move(*environment);
  return out;
}

void PodmanStart::launch() {
  earlier_id_ = files_.id().value_or("");
  if (auto made = files_.make(driver_labels(*request_.spec, {})); !made)
    return answer(std::move(made.error()));
  auto guard = guard_mounts(mounts_, files_.directory());
  if (!guard) return answer(std::move(guard.error()));
  guarded_ = !guard->empty();
  crash_point("podman.start.prepared");
  auto run = command("run", {"--detach", "--cidfile=" + files_.id_file()});
  if (!run) return answer(std::move(run.error()));
  run->argv.insert(run->argv.begin() + 1, guard->begin(), guard->end());
  // conmon, which inherits it, notes an OOM kill in its working directory, and podman 4.3 looks
  // elsewhere.
  run->directory = files_.directory();
  const auto route = std::dynamic_pointer_cast<FifoRoute>(request_.logs);
  if (!route) {
    return answer({ErrorCode::kInternal,
                   kStartContainer,
                   request_.container_name,
                   "the task's log route is of another runtime",
                   {}});
  }
  // Opened when podman is spawned: a collector that sees a writer come and, as this plugin dies, go
  // again is at its end and reads no more. From then on podman has them, and then the container.
  LateFd out = [route] { return route->stdout_fd(); };
  LateFd err = [route] { return route->stderr_fd(); };
  if (request_.config->tty) {
    // conmon has them open for as long as the container runs.
    run->held_fds = {std::move(out), std::move(err)};
  } else {
    if (request_.config->interactive) {
      auto input = files_.endless_input();
      if (!input) return answer(std::move(input.error()));
      run->in = std::move(*input);
    }
    // conmon keeps what podman got, for the workload. podman itself prints only why a start failed,
    // and has no other place for it: a job's author finds it in the task's stderr log.
    run->out = Stdio::descriptor(std::move(out));
    run->err = Stdio::descriptor(std::move(err));
  }
  cli_->run(std::move(*run), [self = shared_from_this()](Expected<CommandResult> result) {
    self->launched(std::move(result));
  });
  crash_point("podman.start.spawned");
}

void PodmanStart::launched(Expected<CommandResult> result) {
  const std::string& name = request_.container_name;
  if (result && result->status == ExitStatus{Exited{0}}) return started();
  if (!result) {
    Error error = std::move(result.error()).wrap(kStartContainer, name);
    if (error.code != ErrorCode::kTimeout) return answer(std::move(error));
    broke_off_ = true;
    return diagnose(std::move(error));
  }
  if (guard_refused(files_.directory())) {
    Error error{ErrorCode::kInvalidConfig, kStartContainer, name,
                "one of its volumes was led elsewhere while the container was prepared",
                "see which task of the allocation replaces directories by links"};
    return remove_and_answer(name, std::move(error));
  }
  broke_off_ = !std::holds_alternative<Exited>(result->status);
  // By the time somebody looks again there may be room.
  disk_was_full_ = disk_is_full(files_.directory());
  diagnose(podman_error(kStartContainer, name, result->status, result->err));
}

void PodmanStart::started() {
  crash_point("podman.start.ran");
  const auto id = files_.id();
  const pid_t pid = files_.pid();
  const pid_t conmon_pid = files_.conmon_pid();
  if (id && pid > 0 && conmon_pid > 0) {
    // Podman gave its name away again: it had forgotten that one.
    if (!earlier_id_.empty() && earlier_id_ != *id) end_abandoned(earlier_id_);
    return answer(*id, pid, conmon_pid);
  }
  broke_off_ = true;
  diagnose({ErrorCode::kRuntimeUnavailable,
            kStartContainer,
            request_.container_name,
            "podman said it runs, but wrote no process ids",
            {}});
}

void PodmanStart::diagnose(Error first_error) {
  crash_point("podman.start.diagnosing");
  cli_->run(cli_->command({"container", "inspect", "--format=json", "--", request_.container_name}),
            [self = shared_from_this(),
             first_error = std::move(first_error)](Expected<CommandResult> result) mutable {
              const std::string& name = self->request_.container_name;
              if (!result) {
                self->may_be_stored_ = true;
                return self->answer(std::move(first_error));
              }
              if (result->status == ExitStatus{Exited{0}}) {
                auto found = parse_container(result->out);
                if (found) return self->namesake(*found, std::move(first_error));
                return self->answer(std::move(found.error()).wrap(kStartContainer, name));
              }
              if (!says_no_such_container(result->err)) {
                return self->clear_storage_and_answer(
                    podman_error(kStartContainer, name, result->status, result->err));
              }
              if (first_error.code == ErrorCode::kTimeout) {
                return self->remove_and_answer(name, std::move(first_error));  // it may be stored
              }
              self->second_look({}, std::move(first_error));
            });
}

void PodmanStart::namesake(const PodmanContainer& found, Error first_error) {
  const std::string& name = request_.container_name;
  if (label(found, kLabelTaskId) == request_.spec->id) {
    // An earlier call for this very attempt got as far as starting it: this is the task. But where
    // it was this call that broke off, nobody can say what of it is missing.
    if (found.has_run() && !broke_off_) return adopt(found);
    if (found.has_run() || first_error.code == ErrorCode::kTimeout) {
      return remove_and_answer(found.id, std::move(first_error));
    }
    return second_look(found.id, std::move(first_error));
  }
  const bool of_this_allocation =
      !request_.spec->alloc_id.empty() && label(found, kLabelAllocId) == request_.spec->alloc_id;
  if (!of_this_allocation) {
    return answer({ErrorCode::kAlreadyExists, kStartContainer, name,
                   "a container of this name exists and is not ours",
                   "remove it: podman rm --force " + name});
  }
  if (replaced_) return remove_and_answer(found.id, std::move(first_error));
  replace(found.id);
}

void PodmanStart::replace(const std::string& id) {
  replaced_ = true;
  crash_point("podman.start.replacing");
  // With it go the tasks that share its network: that network has ended, and Nomad starts them
  // again into the new one.
  Command removal =
      cli_->command({"rm", "--force", "--ignore", "--depend", "--volumes", "--time=0", "--", id});
  removal.extra_fd = lock_for_call(files_.directory());
  cli_->run_ok(std::move(removal), "remove an earlier attempt's container", id,
               [self = shared_from_this(), id](Expected<std::string> result) {
                 if (!result) return self->answer(std::move(result.error()));
                 if (std::count(result->begin(), result->end(), '\n') > 1) {
                   self->notes_.emplace_back(
                       "Ended the tasks that shared the network of this task's earlier attempt");
                 }
                 crash_point("podman.start.replaced");
                 end_abandoned(self->files_, id);
                 self->files_.remove();
                 self->launch();
               });
}

void PodmanStart::adopt(const PodmanContainer& found) {
  answer(found.id, found.pid, found.conmon_pid);
}

void PodmanStart::second_look(const std::string& existing_id, Error first_error) {
  crash_point("podman.start.second_look");
  end_abandoned(files_, existing_id);
  const bool created = !existing_id.empty();
  auto clear = files_.forget_attempt();
  // By which a later plugin finds what is left of it, should this one be killed.
  if (clear && created) clear = files_.keep_id(existing_id);
  if (!clear) spdlog::warn("{}", clear.error().message());
  Command look;
  if (created) {
    look = cli_->command({"init", "--", existing_id});
  } else {
    auto create = command("create", {});
    if (!create) return answer(std::move(create.error()));
    look = std::move(*create);
  }
  cli_->run(std::move(look),
            [self = shared_from_this(), existing_id,
             first_error = std::move(first_error)](Expected<CommandResult> result) {
              const std::string& name = self->request_.container_name;
              Error error = first_error;
              std::string leftover = existing_id;
              if (!result) {
                self->may_be_stored_ = true;
                error = std::move(result.error()).wrap(kStartContainer, name);
              } else if (const auto holder = holder_of_name(result->err);
                         !holder.empty() && !self->replaced_) {
                // In the storage only: podman was killed before it wrote it down.
                return self->replace(holder);
              } else if (says_made_already(result->err)) {
                // The call before was killed when that was done: this says nothing of the job.
                error.code = ErrorCode::kRuntimeUnavailable;
              } else if (result->status != ExitStatus{Exited{0}}) {
                error = podman_error(kStartContainer, name, result->status, result->err);
              } else {
                // The cause is gone again: worth another try.
                error.code = ErrorCode::kRuntimeUnavailable;
                error.cause =
                    "podman failed to start it (its words are in the task's stderr log), but "
                    "could prepare it a moment later";
                if (self->disk_was_full_) error.hint = kDiskFull;
                if (leftover.empty()) leftover = parse_container_id(result->out);
              }
              if (!leftover.empty()) return self->remove_and_answer(leftover, std::move(error));
              if (!result) return self->answer(std::move(error));
              self->clear_storage_and_answer(std::move(error));
            });
}

void PodmanStart::remove_and_answer(const std::string& id, Error error) {
  crash_point("podman.start.removing");
  removed_id_ = id;
  Command removal = cli_->command({"rm", "--force", "--ignore", "--volumes", "--time=0", "--", id});
  removal.extra_fd = lock_for_call(files_.directory());
  cli_->run_ok(std::move(removal), "remove what was left of container", request_.container_name,
               [self = shared_from_this(), error](Expected<std::string> result) {
                 Error told = error;
                 self->may_be_stored_ = !result;
                 if (!result) told.cause += "; and " + result.error().message();
                 self->answer(std::move(told));
               });
}

void PodmanStart::clear_storage_and_answer(Error error) {
  crash_point("podman.start.clearing");
  end_abandoned(files_, {});
  remove_stored(cli_, request_.container_name,
                [self = shared_from_this(), error = std::move(error)](Expected<void> cleared) {
                  self->may_be_stored_ = !cleared;
                  if (!cleared) spdlog::warn("{}", cleared.error().message());
                  self->answer(error);
                });
}

void PodmanStart::answer(Error error) {
  if (const auto taken = parse_taken_port(error.cause)) {
    const std::string owner = port_owner(*taken);
    if (!owner.empty()) error.cause += " by " + owner;
  }
  crash_point("podman.start.failed");
  end_abandoned(files_, removed_id_);
  if (!may_be_stored_) files_.remove();
  done_(fail(std::move(error)));
}

void PodmanStart::answer(const std::string& id, pid_t pid, pid_t conmon_pid) {
  if (guarded_ && !guard_passed(files_.directory(), id)) {
    // One that was found may be of a plugin that left no proof.
    if (conmon_pid == 0 && !replaced_) return replace(id);
    // It has run by now: that a hook was left out shows in nothing else.
    return remove_and_answer(
        id, {ErrorCode::kUnsupported, kStartContainer, request_.container_name,
             "its volumes were not checked: the OCI runtime did not run the driver's hook",
             "set oci_runtime to one that runs OCI hooks, such as crun or runc"});
  }
  StartedContainer out;
  out.container.name = request_.container_name;
  out.container.id = id;
  out.container.state["pid"] = std::to_string(pid);
  if (!group_address_.empty()) out.container.state[kStateAddress] = group_address_;
  if (request_.config->tty) out.container.state["log_path"] = files_.log_file();
  // Nothing to find where it has ended already: then attach() learns the rest.
  auto conmon = Conmon::find(conmon_pid, id);
  if (!conmon && conmon_pid == 0) conmon = Conmon::search(id);  // of one that was adopted
  if (conmon) conmon->save(out.container);
  if (const auto cgroup = find_cgroup(pid, id)) save_cgroup(*cgroup, out.container);
  // A terminal's output goes through a file.
  const auto route = std::dynamic_pointer_cast<FifoRoute>(request_.logs);
  if (route && !request_.config->tty) {
    const auto stdout_fd = route->stdout_fd();
    const auto stderr_fd = route->stderr_fd();
    save_pipes({stdout_fd ? stdout_fd->get() : -1, stderr_fd ? stderr_fd->get() : -1},
               out.container);
  }
  if (network_owner_) network_owner_->save(out.container);
  out.notes = std::move(notes_);
  out.started_at = std::chrono::system_clock::now();
  out.network = driver_network(*request_.spec, *request_.config, container_address(pid));
  done_(std::move(out));
}

}  // namespace ndc::runtime
