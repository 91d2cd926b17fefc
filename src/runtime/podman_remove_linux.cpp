#include "runtime/podman_remove_linux.hpp"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/call_lock.hpp"
#include "runtime/conmon_linux.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/podman_abandoned_linux.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_json.hpp"
#include "runtime/podman_peer_linux.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

struct Removal : std::enable_shared_from_this<Removal> {
  std::shared_ptr<PodmanCli> cli;
  std::string state_dir;
  ContainerRef container;
  Done<void> done;
  bool again = false;
  bool stopped_meanwhile = false;

  void run() {
    Command removal =
        cli->command({"rm", "--force", "--ignore", "--volumes", "--time=0", "--", container.id});
    if (is_state_name(container.name)) {
      removal.extra_fd = lock_for_call(PodmanFiles{state_dir, container.name}.directory());
    }
    cli->run(std::move(removal), [self = shared_from_this()](Expected<CommandResult> result) {
      self->ended(std::move(result));
    });
    crash_point("podman.remove.spawned");
  }

  void ended(Expected<CommandResult> result) {
    const char* what = "remove container";
    if (!result) return done(fail(std::move(result.error()).wrap(what, container.name)));
    const bool removed = result->status == ExitStatus{Exited{0}};
    const bool shared = !removed && says_has_dependents(result->err);
    // So it is where conmon was killed: nobody told podman of the end.
    const bool stopped = !removed && says_stopped_meanwhile(result->err);
    if (stopped && !std::exchange(stopped_meanwhile, true)) return run();
    const PodmanFiles files{state_dir, container.name};
    // Nobody knows how a container began that no task owns: perhaps with a podman that was killed.
    const bool abandoned = Conmon::from(container).pid == 0;
    if (!removed && !shared) {
      Error error = podman_error(what, container.name, result->status, result->err);
      if (error.code != ErrorCode::kContainerGone) {
        // This podman may have been killed as well, when it had forgotten the container already.
        if (abandoned) end_abandoned(files, container.id);
        return done(fail(std::move(error)));
      }
    }
    crash_point("podman.remove.removed");
    if (abandoned) end_abandoned(files, shared ? "" : container.id);
    files.remove();
    crash_point("podman.remove.cleaned");
    // The last of the others may have looked for our files just before they went.
    if (shared && !std::exchange(again, true)) return run();
    if (shared) spdlog::info("container {} is kept: others share its network", container.name);
    remove_owner();
  }

  // The container whose network this one shared, if it has been waiting for that.
  void remove_owner() {
    const auto owner = NetworkOwner::from(container);
    if (!owner || owner->in_use(state_dir)) return done({});
    // Without --force: whatever still runs, or is still shared, stays.
    cli->run(cli->command({"rm", "--ignore", "--volumes", "--", owner->id}),
             [done = std::move(done)](const Expected<CommandResult>&) { done({}); });
  }
};

}  // namespace

void remove_stored(const std::shared_ptr<PodmanCli>& cli, const std::string& name,
                   Done<void> done) {
  cli->run_ok(
      {"ps", "--all", "--external", "--no-trunc", "--format=json", "--filter=name=^" + name + "$"},
      "list stored containers", {},
      [cli, name, done = std::move(done)](Expected<std::string> result) mutable {
        auto listed =
            std::move(result).and_then([](const std::string& text) { return parse_list(text); });
        if (!listed) return done(fail(std::move(listed.error())));
        // Podman 4.3 does not apply the filter to these.
        const auto found = std::find_if(listed->begin(), listed->end(), [&name](const auto& entry) {
          return entry.only_stored && entry.name == name;
        });
        if (found == listed->end()) return done({});
        cli->run_ok({"rm", "--force", "--ignore", "--", found->id}, "remove stored container", name,
                    [done = std::move(done)](Expected<std::string> removed) {
                      if (!removed) return done(fail(std::move(removed.error())));
                      done({});
                    });
      });
}

void remove_container(std::shared_ptr<PodmanCli> cli, std::string state_dir, ContainerRef container,
                      Done<void> done) {
  auto removal = std::make_shared<Removal>();
  removal->cli = std::move(cli);
  removal->state_dir = std::move(state_dir);
  removal->container = std::move(container);
  removal->done = std::move(done);
  removal->run();
}

}  // namespace ndc::runtime
