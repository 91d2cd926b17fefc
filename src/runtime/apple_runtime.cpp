#include "runtime/apple_runtime.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <set>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/container_name.hpp"
#include "model/labels.hpp"
#include "model/linux_caps.hpp"
#include "model/operator_policy.hpp"
#include "runtime/apple_argv.hpp"
#include "runtime/apple_errors.hpp"
#include "runtime/apple_exec.hpp"
#include "runtime/apple_log_route.hpp"
#include "runtime/apple_probe.hpp"
#include "runtime/apple_removal.hpp"
#include "runtime/apple_start.hpp"
#include "runtime/apple_version.hpp"
#include "runtime/call_lock.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/ended_already.hpp"
#include "runtime/kept_references.hpp"
#include "runtime/make_apple.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/monitor_process.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/own_program.hpp"
#include "runtime/roles.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

constexpr auto kExitPatience = 5s;  // for the attached CLI, once its container was removed

// `stats` measures for two seconds before it answers.
constexpr std::chrono::nanoseconds kShortestStats = 10s;

Expected<void> check_ref(const ContainerRef& container, const char* what) {
  if (is_apple_id(container.id)) return {};
  return fail({ErrorCode::kInvalidConfig,
               what,
               container.name,
               "the task's handle holds no container id",
               {}});
}

// What a container's reference has to say for remove() to find its allocation's network.
std::map<std::string, std::string> network_state(const AppleContainer& container) {
  const auto alloc = container.labels.find(kLabelAllocId);
  if (alloc == container.labels.end()) return {};
  const std::string own = allocation_network(alloc->second);
  for (const std::string& network : container.networks) {
    if (network == own) return {{kNetworkState, own}};
  }
  return {};
}

}  // namespace

AppleRuntime::AppleRuntime(PluginConfig config, std::shared_ptr<EventLoop> loop,
                           std::string monitor_program, std::chrono::nanoseconds drain_time,
                           const std::string& login_dir)
    : config_{std::move(config)},
      loop_{std::move(loop)},
      cli_{std::make_shared<AppleCli>(*loop_, config_)},
      images_{std::make_shared<AppleImages>(cli_, config_.state_dir, login_dir)},
      networks_{std::make_shared<AppleNetworks>(cli_, config_.gc.dangling_containers)},
      tools_{cli_, std::make_shared<ApplePoller>(cli_, 30ms, 1000ms),
             std::make_shared<ApplePoller>(cli_, 5000ms, 30'000ms),
             monitor_program.empty() ? own_program() : std::move(monitor_program)},
      state_dir_{config_.state_dir.empty() ? AppleFiles::default_state_dir() : config_.state_dir},
      leftovers_{state_dir_} {
  tools_.return_patience =
      std::max<std::chrono::nanoseconds>(2 * config_.command_timeout, drain_time);
  const PluginConfig::DanglingContainers& reaper = config_.gc.dangling_containers;
  tools_.keep_output = reaper.enabled && !reaper.dry_run;
  lookout_ = std::make_shared<AppleLookout>(cli_, tools_.return_patience);
  if (config_.allow_caps) return;
  // What every container has anyway may be given back to one that dropped all.
  config_.allow_caps = default_allowed_caps();
  config_.allow_caps->insert("CAP_NET_RAW");
}

std::shared_ptr<AppleWatch> AppleRuntime::watch_of(const std::string& id) const {
  const auto found = followed_.find(id);
  return found == followed_.end() ? nullptr : found->second.watch;
}

// --- the node ---------------------------------------------------------------------------------

void AppleRuntime::probe(std::function<void(Fingerprint)> done) {
  loop_->post([self = shared_from_this(), done = std::move(done)]() mutable {
    apple_probe(self->cli_, self->config_, macos_version(), std::move(done));
  });
}

void AppleRuntime::on_doubt(std::function<void()> doubt) {
  loop_->post(
      [cli = cli_, doubt = std::move(doubt)]() mutable { cli->on_doubt(std::move(doubt)); });
}

void AppleRuntime::list_containers(Done<std::vector<FoundContainer>> done) {
  loop_->post([self = shared_from_this(), done = std::move(done)] {
    self->cli_->list([self, done](const Expected<AppleCli::Containers>& all) {
      if (!all) return done(fail(all.error()));
      self->networks_->sweep(*all);
      std::set<std::string> names;
      for (const AppleContainer& container : **all) names.insert(container.id);
      auto out = self->leftovers_.look(names);
      for (const AppleContainer& container : **all) {
        const auto task = container.labels.find(kLabelTaskId);
        if (task == container.labels.end()) continue;
        const AppleFiles files{self->config_.state_dir, container.id};
        out.push_back({{container.id, container.id, network_state(container)},
                       container.labels,
                       container.running(),
                       container.created ? container.created : container.started,
                       files.start_failed(task->second)});
      }
      done(std::move(out));
    });
  });
}

void AppleRuntime::remove_leftover(const std::string& name, const Done<void>& done) {
  if (!is_state_name(name)) return done(fail(state_error(name, "it is no container name")));
  if (leftovers_.claimed(name)) return done({});  // a task has been given that name meanwhile
  const auto watch =
      std::make_shared<AppleWatch>(tools_, AppleFiles{config_.state_dir, name}, name);
  if (const std::uint64_t lost = spooled(watch->files().directory()); lost > 0) {
    spdlog::warn(
        "container {}: {} bytes that waited for Nomad's log collector are lost: no next attempt of "
        "the task has come to deliver them",
        name, lost);
  }
  watch->dismiss();
  watch->files().remove();
  done({});
}

std::vector<Error> AppleRuntime::refusals(const TaskSpec& spec, const TaskConfig& config,
                                          const VersionNumber& version) const {
  std::vector<Error> errors = apple_refusals(spec, config, version);
  const auto collect = [&errors](const auto& result) {
    if (!result) errors.push_back(result.error());
  };
  for (Error& error : policy_refusals(config, config_)) errors.push_back(std::move(error));
  if (!ssh_agent_is_the_daemons(version)) {
    if (auto error = ssh_agent_refusal(config)) errors.push_back(std::move(*error));
  }
  collect(apple_container_id(container_name(spec.name, spec.alloc_id), config));
  const auto mounts = resolve_mounts(spec, config, config_.volumes);
  collect(mounts);
  if (mounts) collect(apple_mounts(*mounts, version));
  collect(apple_sockets(spec, config, config_.volumes));
  if (config.kernel) collect(allowed_path(spec, *config.kernel, config_.volumes));
  return errors;
}

void AppleRuntime::on_call(CallSink sink) {
  loop_->post([cli = cli_, sink = std::move(sink)]() mutable { cli->on_call(std::move(sink)); });
}

void AppleRuntime::check(std::shared_ptr<const TaskSpec> spec,
                         std::shared_ptr<const TaskConfig> config, Done<void> done) {
  loop_->post([self = shared_from_this(), spec = std::move(spec), config = std::move(config),
               done = std::move(done)] {
    self->cli_->version([self, spec, config, done](const Expected<VersionNumber>& version) {
      if (!version) {
        Error error = version.error();
        return done(fail(std::move(error).wrap("check task", spec->name)));
      }
      const std::vector<Error> errors = self->refusals(*spec, *config, *version);
      if (!errors.empty()) {
        return done(fail(
            combine("check task", spec->name, errors).wrap("run with " + apple_name(*version))));
      }
      done({});
    });
  });
}

// --- images -----------------------------------------------------------------------------------

void AppleRuntime::find_image(ImageQuery image, Done<std::optional<Image>> done) {
  loop_->post([images = images_, image = std::move(image), done = std::move(done)]() mutable {
    images->find(image, std::move(done));
  });
}

void AppleRuntime::pull_image(PullRequest request, Done<Image> done) {
  loop_->post([images = images_, request = std::move(request), done = std::move(done)]() mutable {
    images->pull(std::move(request), std::move(done));
  });
}

void AppleRuntime::load_image(LoadRequest request, Done<Image> done) {
  loop_->post([images = images_, request = std::move(request), done = std::move(done)]() mutable {
    images->load(request, std::move(done));
  });
}

void AppleRuntime::remove_image(std::string reference, Done<void> done) {
  loop_->post([images = images_, reference = std::move(reference), done = std::move(done)] {
    images->remove(reference, done);
  });
}

void AppleRuntime::keep_references(std::set<std::string> references) {
  loop_->post([self = shared_from_this(), references = std::move(references)] {
    const auto kept = runtime::keep_references(self->state_dir_, references);
    if (!kept) spdlog::warn("{}", kept.error().message());
  });
}

void AppleRuntime::kept_references(Done<std::set<std::string>> done) {
  loop_->post([self = shared_from_this(), done = std::move(done)] {
    done(read_kept_references(self->state_dir_));
  });
}

// --- one task's container -----------------------------------------------------------------------

Expected<std::shared_ptr<LogRoute>> AppleRuntime::open_logs(const LogPaths& paths, bool) {
  return open_apple_route(*loop_, paths, [weak = weak_from_this()](const std::string& id) {
    const auto self = weak.lock();
    return self ? self->watch_of(id) : nullptr;
  });
}

void AppleRuntime::start(StartRequest request, ExitSink exited, Done<StartedContainer> done) {
  loop_->post([self = shared_from_this(), request = std::move(request), exited = std::move(exited),
               done = std::move(done)]() mutable {
    auto id = apple_container_id(request.container_name, *request.config);
    if (!id) return done(fail(std::move(id.error())));
    const std::string name = request.container_name;
    auto given_up = [name, done] { done(fail(given_up_start(name))); };
    self->turns_.take(
        name,
        [self, id = *id, request = std::move(request), exited = std::move(exited),
         done = std::move(done)] { self->start_in_turn(request, id, exited, done); },
        std::move(given_up));
  });
}

void AppleRuntime::start_in_turn(StartRequest request, const std::string& id, ExitSink exited,
                                 Done<StartedContainer> done) {
  const auto known = followed_.find(id);
  if (known != followed_.end() && known->second.task_id == request.spec->id) {
    // Started already, for a task actor that has failed since.
    const Followed same = known->second;
    done(same.started);
    same.watch->when_ended(std::move(exited));
    return turns_.over(request.container_name);
  }
  leftovers_.claim(id);
  networks_->learn_node(request.spec->node_id);
  auto answered = [self = shared_from_this(), id, name = request.container_name,
                   task_id = request.spec->id, exited = std::move(exited),
                   done = std::move(done)](Expected<AppleStart::Outcome> result) {
    if (!result) {
      // An earlier attempt whose container could not be removed is still followed.
      const auto earlier = self->watch_of(id);
      if (!earlier || earlier->ended()) {
        self->followed_.erase(id);
        self->leftovers_.disclaim(id);
      }
      done(fail(std::move(result.error())));
      return self->turns_.over(name);
    }
    self->followed_[id] = {result->watch, task_id, result->container};
    self->lookout_->follow(result->watch);
    done(std::move(result->container));
    result->watch->when_ended(exited);
    self->turns_.over(name);
  };
  std::make_shared<AppleStart>(tools_, networks_, config_, std::move(request), id, watch_of(id),
                               std::move(answered))
      ->begin();
}

void AppleRuntime::attach(ContainerRef container, ExitSink exited, Done<Attached> done) {
  loop_->post([self = shared_from_this(), container = std::move(container),
               exited = std::move(exited), done = std::move(done)]() mutable {
    if (auto valid = check_ref(container, "find container again"); !valid) {
      return done(fail(std::move(valid.error())));
    }
    self->leftovers_.claim(container.id);
    auto watch = self->watch_of(container.id);
    if (watch) {
      // A task actor that was restarted: the plugin has never lost sight of the container.
      if (!watch->ended()) {
        done(Attached{StillRunning{}});
        return watch->when_ended(std::move(exited));
      }
      return watch->when_ended([&done](TaskExit exit) { done(Attached{std::move(exit)}); });
    }
    watch = std::make_shared<AppleWatch>(
        self->tools_, AppleFiles{self->config_.state_dir, container.id}, container.id);
    self->followed_[container.id] = {watch, {}, {}};
    watch->begin_attach([self, watch, id = container.id, exited = std::move(exited),
                         done = std::move(done)](Expected<Attached> result) {
      const bool running = result && std::holds_alternative<StillRunning>(*result);
      if (!result) {
        self->followed_.erase(id);
        self->leftovers_.disclaim(id);
      }
      done(std::move(result));
      if (!running) return;
      self->lookout_->follow(watch);
      watch->when_ended(exited);
    });
  });
}

// It knows the container by its name, and goes on when this plugin is killed.
Command AppleRuntime::ending_call(const AppleCall& call, const ContainerRef& container) const {
  Command command = cli_->command(call);
  command.extra_fd = lock_for_call(AppleFiles{config_.state_dir, container.id}.directory());
  return command;
}

void AppleRuntime::control(const AppleCall& call, const char* what, const ContainerRef& container,
                           Done<void> done) {
  if (auto valid = check_ref(container, what); !valid) return done(fail(std::move(valid.error())));
  cli_->run(ending_call(call, container), AppleCli::Kind::kVital,
            [what, name = container.name, id = container.id,
             done = std::move(done)](Expected<CommandResult> result) {
              if (!result) return done(fail(std::move(result.error()).wrap(what, name)));
              if (result->status == ExitStatus{Exited{0}}) return done({});
              Error error = apple_error(what, name, result->status, result->err);
              if (says_not_running(result->err)) error.code = ErrorCode::kWrongState;
              if (says_container_not_found(result->err, id)) error.code = ErrorCode::kContainerGone;
              done(fail(std::move(error)));
            });
  crash_point("apple.stop.spawned");
}

void AppleRuntime::signal(ContainerRef container, int signal, Done<void> done) {
  loop_->post([self = shared_from_this(), container = std::move(container), signal,
               done = std::move(done)]() mutable {
    self->control(AppleCall::kill(container.id, signal), "send signal to container", container,
                  std::move(done));
  });
}

void AppleRuntime::stop(ContainerRef container, Done<void> done) {
  loop_->post([self = shared_from_this(), container = std::move(container),
               done = std::move(done)]() mutable {
    self->control(AppleCall::stop(container.id), "stop container", container,
                  [done = std::move(done)](Expected<void> result) {
                    if (!result && ended_already(result.error())) return done({});
                    done(std::move(result));
                  });
  });
}

void AppleRuntime::remove(ContainerRef container, bool keep_container, Done<void> done) {
  loop_->post([self = shared_from_this(), container = std::move(container), keep_container,
               done = std::move(done)]() mutable {
    if (container.id.empty()) return self->remove_leftover(container.name, done);
    if (auto valid = check_ref(container, "remove container"); !valid) {
      return done(fail(std::move(valid.error())));
    }
    self->leftovers_.disclaim(container.id);
    const auto watch = self->watch_of(container.id);
    const bool may_run_on = watch && watch->may_run_on();
    if (keep_container && !may_run_on) return self->forget(container, done);
    if (keep_container) {
      spdlog::warn("container {}: removed although gc.container is off, for it may still run",
                   container.name);
    }
    if (watch) watch->expect_removal();
    AppleRemoval removal{"remove container", container.id,
                         AppleFiles{self->config_.state_dir, container.id}.directory()};
    remove_apple_container(self->cli_, std::move(removal),
                           [self, container, done = std::move(done)](Expected<void> removed) {
                             if (!removed) return done(std::move(removed));
                             self->forget(container, done);
                           });
  });
}

// The exit of a task that had to be removed arrives from its monitor, if at all, and may do so
// before the engine's answer. What the collector has not taken by then is the task's last output,
// and waits for it as after every other end. Also of a task that had ended before: a collector that
// has just come, as that of a restarted client, may be about to take it. What it does not take then
// is the next attempt's to deliver.
void AppleRuntime::forget(const ContainerRef& container, const Done<void>& done) {
  crash_point("apple.remove.deleted");
  auto watch = watch_of(container.id);
  const bool lived = watch && (watch->removal_expected() || !watch->ended());
  const bool may_deliver = watch && watch->has_output();
  if (!watch) {
    watch = std::make_shared<AppleWatch>(tools_, AppleFiles{config_.state_dir, container.id},
                                         container.id);
  }
  const auto on = container.state.find(kNetworkState);
  auto clean = [self = shared_from_this(), watch, done, id = container.id,
                network = on == container.state.end() ? std::string{} : on->second] {
    watch->keep_output();
    watch->dismiss([self, watch, done, id, network] {
      crash_point("apple.remove.dismissed");
      if (const std::uint64_t left = remove_files(self->tools_, watch->files()); left > 0) {
        spdlog::warn("container {}: {} bytes wait for the log collector of the task's next attempt",
                     id, left);
      }
      crash_point("apple.remove.cleaned");
      self->followed_.erase(id);
      self->networks_->release(network, [done] { done({}); });
    });
  };
  if (!lived) {
    loop_->post([loop = loop_, watch, may_deliver, clean = std::move(clean)]() mutable {
      if (!may_deliver) return clean();
      await_delivery(*loop, watch, std::move(clean));
    });
    return;
  }
  auto timer = std::make_shared<std::shared_ptr<EventLoop::Timer>>();
  auto ended = [loop = loop_, watch, timer, clean = std::move(clean)] {
    if (!*timer) return;
    timer->reset();
    watch->give_up_exit();
    await_delivery(*loop, watch, clean);
  };
  *timer = loop_->after(kExitPatience, ended);
  // Not from within the watch's own call.
  watch->when_ended([loop = loop_, ended](const TaskExit&) { loop->post(ended); });
}

void AppleRuntime::disown(const std::string& container_name) {
  loop_->post([self = shared_from_this(), container_name] {
    self->leftovers_.disclaim(container_name);
    self->turns_.give_up(container_name);
  });
}

void AppleRuntime::kill_process(ContainerRef container, ContainerProcess which, Done<void> done) {
  if (which == ContainerProcess::kWorkload) {
    return ContainerRuntime::kill_process(std::move(container), which, std::move(done));
  }
  loop_->post(
      [self = shared_from_this(), container = std::move(container), which, done = std::move(done)] {
        pid_t pid = 0;
        const auto watch = self->watch_of(container.id);
        if (which == ContainerProcess::kCli) {
          if (watch) pid = watch->cli();
        } else if (is_state_name(container.id)) {
          pid = living_monitor(AppleFiles{self->config_.state_dir, container.id}.directory());
        }
        if (pid > 1 && ::kill(pid, SIGKILL) == 0) return done({});
        done(fail({ErrorCode::kWrongState,
                   "kill process",
                   container.name,
                   "it has no such process any more",
                   {}}));
      });
}

// One call for all tasks, whatever their number: without ids it reports every running container,
// and a missing one cannot fail the others.
void AppleRuntime::sample(std::vector<ContainerRef> containers,
                          std::function<void(std::vector<UsageReading>)> done) {
  loop_->post([self = shared_from_this(), containers = std::move(containers),
               done = std::move(done)]() mutable {
    Command stats = self->cli_->command(AppleCall::stats());
    stats.timeout = std::max<std::chrono::nanoseconds>(stats.timeout, kShortestStats);
    self->cli_->run_ok(
        std::move(stats), AppleCli::Kind::kNormal, "read usage of", "all containers",
        [lookout = self->lookout_, asked = AppleLookout::Clock::now(),
         containers = std::move(containers),
         done = std::move(done)](const Expected<std::string>& out) mutable {
          const auto usage = out ? parse_apple_stats(*out)
                                 : Expected<std::map<std::string, AppleUsage>>{fail(out.error())};
          if (usage) lookout->sampled(asked, *usage);
          std::vector<UsageReading> readings;
          readings.reserve(containers.size());
          for (ContainerRef& container : containers) {
            Expected<UsageSample> sample = fail({ErrorCode::kContainerGone,
                                                 "read usage of",
                                                 container.name,
                                                 "Apple's container reports none",
                                                 {}});
            if (!usage) {
              sample = fail(usage.error());
            } else if (const auto found = usage->find(container.id); found != usage->end()) {
              sample = UsageSample{};
              sample->at = std::chrono::system_clock::now();
              sample->taken = std::chrono::steady_clock::now();
              if (found->second.cpu_usec) {
                sample->cpu_total = std::chrono::microseconds{*found->second.cpu_usec};
              }
              sample->memory_usage = found->second.memory_bytes;
              sample->block_read = found->second.block_read_bytes;
              sample->block_written = found->second.block_write_bytes;
              sample->network_received = found->second.network_rx_bytes;
              sample->network_sent = found->second.network_tx_bytes;
              sample->pids = found->second.processes;
            }
            readings.push_back({std::move(container), std::move(sample)});
          }
          done(std::move(readings));
        });
  });
}

void AppleRuntime::exec(ContainerRef container, ExecRequest request,
                        std::shared_ptr<ExecClient> client,
                        Done<std::shared_ptr<ExecSession>> done) {
  loop_->post([self = shared_from_this(), container = std::move(container),
               request = std::move(request), client = std::move(client),
               done = std::move(done)]() mutable {
    if (auto valid = check_ref(container, "run command in container"); !valid) {
      return done(fail(std::move(valid.error())));
    }
    done(apple_exec(self->cli_, container, request, std::move(client)));
  });
}

Expected<std::shared_ptr<ContainerRuntime>> make_apple(const PluginConfig& config,
                                                       std::shared_ptr<EventLoop> loop,
                                                       std::string monitor_program,
                                                       std::chrono::nanoseconds drain_time,
                                                       const std::string& login_dir) {
  if (monitor_program.empty()) {
    auto role = need_role("use runtime", "apple", kMonitorRole);
    if (!role) return fail(std::move(role.error()));
  }
  return std::make_shared<AppleRuntime>(config, std::move(loop), std::move(monitor_program),
                                        drain_time, login_dir);
}

}  // namespace ndc::runtime
