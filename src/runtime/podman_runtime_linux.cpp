#include "runtime/podman_runtime_linux.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <set>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/capabilities.hpp"
#include "model/labels.hpp"
#include "model/operator_policy.hpp"
#include "model/version_number.hpp"
#include "runtime/cgroup_linux.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/ended_already.hpp"
#include "runtime/io_usage_linux.hpp"
#include "runtime/kept_references.hpp"
#include "runtime/log_route.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/podman_abandoned_linux.hpp"
#include "runtime/podman_argv.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/podman_exec_linux.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_json.hpp"
#include "runtime/podman_remove_linux.hpp"
#include "runtime/podman_start_linux.hpp"
#include "runtime/proc_linux.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kSendSignal = "send signal to container";
// In the state of a container that was found by listing: no task of ours started it.
constexpr const char* kListed = "listed";
constexpr const char* kStateDir = "/var/lib/nomad-driver-container";
constexpr VersionNumber kOldest{4, 3, 0};

pid_t init_pid(const ContainerRef& container) {
  const auto found = container.state.find("pid");
  return found == container.state.end() ? 0 : parse_process_id(found->second);
}

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

Expected<void> check_ref(const ContainerRef& container, const char* what) {
  if (is_container_id(container.id)) return {};
  return fail({ErrorCode::kInvalidConfig,
               what,
               container.name,
               "the task's handle holds no container id",
               {}});
}

Fingerprint unhealthy(Health health, std::string description) {
  Fingerprint out;
  out.health = health;
  out.description = std::move(description);
  return out;
}

}  // namespace

PodmanRuntime::PodmanRuntime(PluginConfig config, std::shared_ptr<EventLoop> loop)
    : config_{std::move(config)},
      loop_{std::move(loop)},
      cli_{std::make_shared<PodmanCli>(*loop_, config_)},
      images_{std::make_shared<PodmanImages>(cli_)},
      fifos_{make_appearance_watch(*loop_)},
      state_dir_{config_.state_dir.empty() ? kStateDir : config_.state_dir},
      exits_{std::make_shared<PodmanExits>(*loop_, cli_, state_dir_)},
      leftovers_{state_dir_} {}

// --- the node ---------------------------------------------------------------------------------

void PodmanRuntime::probe(std::function<void(Fingerprint)> done) {
  const bool volumes = config_.volumes.enabled;
  // `info` looks at storage, conmon and the OCI runtime too: a task needs all of them.
  cli_->run_aside(cli_->command({"info", "--format=json"}), [self = shared_from_this(), volumes,
                                                             done = std::move(done)](
                                                                Expected<CommandResult> result) {
    if (!result) {
      const bool missing = result.error().code == ErrorCode::kRuntimeUnavailable;
      if (missing) {
        return done(unhealthy(
            Health::kUndetected,
            result.error().message() + "; install Podman 4.3 or newer, or set podman_path"));
      }
      return done(unhealthy(
          Health::kUnhealthy,
          result.error().message() + "; check that podman works on this node: podman info"));
    }
    if (!ok(*result)) {
      return done(unhealthy(
          Health::kUnhealthy,
          podman_error("ask podman about this node", {}, result->status, result->err).message() +
              "; check that podman works on this node: podman info"));
    }
    const auto info = parse_info(result->out);
    if (!info) return done(unhealthy(Health::kUnhealthy, info.error().message()));
    const auto version = parse_version(info->version);
    if (!version || *version < kOldest) {
      return done(unhealthy(Health::kUnhealthy,
                            "Podman " + info->version + " is too old: install 4.3 or newer"));
    }
    self->version_ = *version;
    self->images_->know_store(info->images_file);
    Fingerprint out;
    out.health = Health::kHealthy;
    out.description = "Healthy";
    out.attributes = {{"driver.container", true},
                      {"driver.container.runtime", std::string{"podman"}},
                      {"driver.container.runtime_version", info->version},
                      {"driver.container.oci_runtime", info->oci_runtime},
                      {"driver.container.volumes.enabled", volumes}};
    out.attributes.merge(feature_attributes({Engine::Kind::kPodman, *version}));
    done(std::move(out));
  });
}

void PodmanRuntime::on_doubt(std::function<void()> doubt) {
  loop_->post(
      [cli = cli_, doubt = std::move(doubt)]() mutable { cli->on_doubt(std::move(doubt)); });
}

void PodmanRuntime::on_call(CallSink sink) {
  loop_->post([cli = cli_, sink = std::move(sink)]() mutable { cli->on_call(std::move(sink)); });
}

void PodmanRuntime::check(std::shared_ptr<const TaskSpec> spec,
                          std::shared_ptr<const TaskConfig> config, Done<void> done) {
  loop_->post([self = shared_from_this(), spec = std::move(spec), config = std::move(config),
               done = std::move(done)] {
    std::vector<Error> errors = podman_refusals(*spec, *config, self->version_);
    for (Error& error : policy_refusals(*config, self->config_)) {
      errors.push_back(std::move(error));
    }
    if (auto error = ssh_agent_refusal(*config)) errors.push_back(std::move(*error));
    for (Error& error : resolve_devices(*config, self->config_).errors) {
      errors.push_back(std::move(error));
    }
    if (auto mounts = resolve_mounts(*spec, *config, self->config_.volumes); !mounts) {
      errors.push_back(std::move(mounts.error()));
    }
    if (!errors.empty()) {
      const Engine engine{Engine::Kind::kPodman, self->version_};
      return done(
          fail(combine("check task", spec->name, errors).wrap("run with " + engine.text())));
    }
    done({});
  });
}

// --- images -----------------------------------------------------------------------------------

void PodmanRuntime::find_image(ImageQuery image, Done<std::optional<Image>> done) {
  loop_->post([images = images_, image = std::move(image), done = std::move(done)]() mutable {
    images->find(std::move(image), std::move(done));
  });
}

void PodmanRuntime::pull_image(PullRequest request, Done<Image> done) {
  loop_->post([images = images_, request = std::move(request), done = std::move(done)]() mutable {
    images->pull(std::move(request), std::move(done));
  });
}

void PodmanRuntime::load_image(LoadRequest request, Done<Image> done) {
  loop_->post([images = images_, request = std::move(request), done = std::move(done)]() mutable {
    images->load(std::move(request), std::move(done));
  });
}

void PodmanRuntime::remove_image(std::string reference, Done<void> done) {
  loop_->post(
      [images = images_, reference = std::move(reference), done = std::move(done)]() mutable {
        images->remove(std::move(reference), std::move(done));
      });
}

void PodmanRuntime::keep_references(std::set<std::string> references) {
  loop_->post([self = shared_from_this(), references = std::move(references)] {
    const auto kept = runtime::keep_references(self->state_dir_, references);
    if (!kept) spdlog::warn("{}", kept.error().message());
  });
}

void PodmanRuntime::kept_references(Done<std::set<std::string>> done) {
  loop_->post([self = shared_from_this(), done = std::move(done)] {
    done(read_kept_references(self->state_dir_));
  });
}

// --- one task's container -----------------------------------------------------------------------

Expected<std::shared_ptr<LogRoute>> PodmanRuntime::open_logs(const LogPaths& paths, bool tty) {
  if (tty) return open_pumped_route(*loop_, paths, fifos_);
  return open_direct_route(*loop_, paths, fifos_);
}

void PodmanRuntime::start(StartRequest request, ExitSink exited, Done<StartedContainer> done) {
  loop_->post([self = shared_from_this(), request = std::move(request), exited = std::move(exited),
               done = std::move(done)]() mutable {
    const std::string name = request.container_name;
    auto started = [self, name, exited = std::move(exited),
                    done](Expected<StartedContainer> result) {
      self->started(std::move(result), name, exited, done);
      self->turns_.over(name);
    };
    auto given_up = [name, done] { done(fail(given_up_start(name))); };
    self->turns_.take(
        name,
        [self, request = std::move(request), started = std::move(started)]() mutable {
          self->leftovers_.claim(request.container_name);
          std::make_shared<PodmanStart>(*self->loop_, self->cli_, self->config_, self->state_dir_,
                                        std::move(request), std::move(started))
              ->begin();
        },
        std::move(given_up));
  });
}

void PodmanRuntime::started(Expected<StartedContainer> result, const std::string& name,
                            const ExitSink& exited, const Done<StartedContainer>& done) {
  if (!result) {
    leftovers_.disclaim(name);
    return done(std::move(result));
  }
  if (version_) result->container.state[kStateVersion] = version_->text();
  const ContainerRef container = result->container;
  done(std::move(result));
  exits_->watch(container, exited);
}

void PodmanRuntime::attach(ContainerRef container, ExitSink exited, Done<Attached> done) {
  loop_->post([self = shared_from_this(), container = std::move(container),
               exited = std::move(exited), done = std::move(done)]() mutable {
    if (auto valid = check_ref(container, "find container again"); !valid) {
      return done(fail(std::move(valid.error())));
    }
    self->leftovers_.claim(container.name);
    auto attached = [self, name = container.name,
                     done = std::move(done)](Expected<Attached> result) {
      const bool gone = !result && result.error().code == ErrorCode::kContainerGone;
      if (gone) self->leftovers_.disclaim(name);
      done(std::move(result));
    };
    self->exits_->attach(container, std::move(exited), std::move(attached));
  });
}

void PodmanRuntime::signal(ContainerRef container, int signal, Done<void> done) {
  loop_->post([self = shared_from_this(), container = std::move(container), signal,
               done = std::move(done)]() mutable {
    const pid_t pid = init_pid(container);
    if (pid == 0) return self->kill(container, signal, std::move(done));
    const UniqueFd process = open_pidfd(pid);
    int error = process ? 0 : errno;
    // Another process may have this number by now.
    if (process && !in_container(pid, container.id)) error = ESRCH;
    if (error == 0) error = signal_pidfd(process, signal);
    if (error == 0) return done({});
    if (error != ESRCH) return self->kill(container, signal, std::move(done));
    done(fail({ErrorCode::kWrongState,
               kSendSignal,
               container.name,
               "its process has ended already",
               {}}));
  });
}

void PodmanRuntime::kill(const ContainerRef& container, int signal, Done<void> done) {
  if (auto valid = check_ref(container, kSendSignal); !valid) {
    return done(fail(std::move(valid.error())));
  }
  cli_->run(cli_->command({"kill", "--signal=" + std::to_string(signal), "--", container.id}),
            [container, done = std::move(done)](Expected<CommandResult> result) {
              if (!result) {
                return done(fail(std::move(result.error()).wrap(kSendSignal, container.name)));
              }
              if (ok(*result)) return done({});
              done(fail(podman_error(kSendSignal, container.name, result->status, result->err)));
            });
}

void PodmanRuntime::stop(ContainerRef container, Done<void> done) {
  loop_->post([self = shared_from_this(), container = std::move(container),
               done = std::move(done)]() mutable {
    self->kill(container, SIGKILL, [done = std::move(done)](Expected<void> result) {
      if (!result && ended_already(result.error())) return done({});
      done(std::move(result));
    });
  });
}

void PodmanRuntime::remove(ContainerRef container, bool keep_container, Done<void> done) {
  loop_->post([self = shared_from_this(), container = std::move(container), keep_container,
               done = std::move(done)]() mutable {
    if (container.id.empty() || container.state.contains(kListed)) {
      return self->remove_found(container, std::move(done));
    }
    self->leftovers_.disclaim(container.name);
    if (keep_container) {
      PodmanFiles{self->state_dir_, container.name}.remove();
      return done({});
    }
    const char* what = "remove container";
    if (auto valid = check_ref(container, what); !valid) {
      return done(fail(std::move(valid.error())));
    }
    remove_container(self->cli_, self->state_dir_, std::move(container), std::move(done));
  });
}

// No task of ours had it when it was found. A start that has begun meanwhile, or begins, under this
// name deals with what it finds there, and waits until we are through.
void PodmanRuntime::remove_found(const ContainerRef& container, Done<void> done) {
  const std::string& name = container.name;
  if (!is_state_name(name)) return done(fail(state_error(name, "it is no container name")));
  turns_.take(name, [self = shared_from_this(), container, done = std::move(done)] {
    const auto over = [self, name = container.name, done](Expected<void> result) {
      done(std::move(result));
      self->turns_.over(name);
    };
    if (self->leftovers_.claimed(container.name)) {
      return over(fail({ErrorCode::kWrongState,
                        "remove container",
                        container.name,
                        "a task has to do with it again",
                        {}}));
    }
    if (!container.id.empty()) {
      return remove_container(self->cli_, self->state_dir_, container, over);
    }
    const PodmanFiles files{self->state_dir_, container.name};
    end_abandoned(files, files.id().value_or(""));
    remove_stored(self->cli_, container.name, [files, over](Expected<void> result) {
      if (result) files.remove();
      over(std::move(result));
    });
  });
}

void PodmanRuntime::disown(const std::string& container_name) {
  loop_->post([self = shared_from_this(), container_name] {
    self->leftovers_.disclaim(container_name);
    self->turns_.give_up(container_name);
  });
}

void PodmanRuntime::kill_process(ContainerRef container, ContainerProcess which, Done<void> done) {
  if (which == ContainerProcess::kWorkload) {
    return signal(std::move(container), SIGKILL, std::move(done));
  }
  if (which != ContainerProcess::kWatcher) {
    return ContainerRuntime::kill_process(std::move(container), which, std::move(done));
  }
  loop_->post([container = std::move(container), done = std::move(done)] {
    const Conmon conmon = Conmon::from(container);
    const UniqueFd process = conmon.pid > 0 ? open_pidfd(conmon.pid) : UniqueFd{};
    // Another process may have this number by now.
    const bool killed = process && conmon.alive() && signal_pidfd(process, SIGKILL) == 0;
    if (killed) return done({});
    done(fail({ErrorCode::kWrongState, "kill process", container.name, "it has no conmon", {}}));
  });
}

void PodmanRuntime::list_containers(Done<std::vector<FoundContainer>> done) {
  loop_->post([self = shared_from_this(), cli = cli_, done = std::move(done)]() mutable {
    cli->run_ok(
        {"ps", "--all", "--no-trunc", "--format=json",
         std::string{"--filter=label="} + kLabelTaskId},
        "list containers", {}, [self, done = std::move(done)](Expected<std::string> result) {
          auto listed =
              std::move(result).and_then([](const std::string& text) { return parse_list(text); });
          if (!listed) return done(fail(std::move(listed.error())));
          std::set<std::string> names;
          for (const PodmanListed& entry : *listed) names.insert(entry.name);
          auto out = self->leftovers_.look(names);
          for (PodmanListed& entry : *listed) {
            out.push_back({{std::move(entry.name), std::move(entry.id), {{kListed, ""}}},
                           std::move(entry.labels),
                           entry.running,
                           entry.created_at});
          }
          done(std::move(out));
        });
  });
}

void PodmanRuntime::sample(std::vector<ContainerRef> containers,
                           std::function<void(std::vector<UsageReading>)> done) {
  const bool for_metrics = !config_.metrics_address.empty();
  loop_->post([containers = std::move(containers), for_metrics, done = std::move(done)]() mutable {
    std::vector<UsageReading> readings;
    readings.reserve(containers.size());
    for (ContainerRef& container : containers) {
      const auto saved = saved_cgroup(container);
      auto files =
          saved ? Expected<CgroupFiles>{*saved} : find_cgroup(init_pid(container), container.id);
      auto usage = files ? read_usage(*files) : Expected<UsageSample>{fail(files.error())};
      if (usage && for_metrics) read_io_usage(*files, init_pid(container), container.id, *usage);
      readings.push_back({std::move(container), std::move(usage)});
    }
    done(std::move(readings));
  });
}

void PodmanRuntime::exec(ContainerRef container, ExecRequest request,
                         std::shared_ptr<ExecClient> client,
                         Done<std::shared_ptr<ExecSession>> done) {
  loop_->post([self = shared_from_this(), container = std::move(container),
               request = std::move(request), client = std::move(client),
               done = std::move(done)]() mutable {
    if (auto valid = check_ref(container, "run command in container"); !valid) {
      return done(fail(std::move(valid.error())));
    }
    done(podman_exec(*self->loop_, *self->cli_, container, request, std::move(client)));
  });
}

}  // namespace ndc::runtime
