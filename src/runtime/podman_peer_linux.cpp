#include "runtime/podman_peer_linux.hpp"

#include <utility>

#include "model/container_name.hpp"
#include "model/duration.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/proc_linux.hpp"
#include "runtime/state_directory.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Looking is two small files that podman writes and one of /proc; no process is started for it.
constexpr auto kInterval = 50ms;

constexpr const char* kName = "network_owner";  // in ContainerRef::state
constexpr const char* kId = "network_owner_id";

std::optional<NetworkOwner> running(const std::string& state_dir, std::string container) {
  const PodmanFiles files{state_dir, container};
  auto id = files.id();
  if (!id || !in_container(files.pid(), *id)) return std::nullopt;
  return NetworkOwner{std::move(container), std::move(*id)};
}

struct Wait : std::enable_shared_from_this<Wait> {
  explicit Wait(EventLoop& on) : loop{on} {}

  EventLoop& loop;
  std::string state_dir;
  std::shared_ptr<const TaskSpec> spec;
  std::string task;
  std::chrono::nanoseconds patience{};
  Done<NetworkOwner> done;
  Clock::time_point deadline;
  std::shared_ptr<EventLoop::Timer> timer;

  void look() {
    // The timer holds this object: its end must not come in the middle.
    const auto self = shared_from_this();
    timer.reset();
    if (auto owner = running(state_dir, container_name(task, spec->alloc_id))) {
      return done(std::move(*owner));
    }
    if (Clock::now() >= deadline) {
      return done(fail({ErrorCode::kTimeout, "share the network of task", task,
                        "no such task of this allocation ran within " + format_duration(patience),
                        "name a task of the same group that runs as long as this one"}));
    }
    timer = loop.after(kInterval, [self] { self->look(); });
  }
};

}  // namespace

void NetworkOwner::save(ContainerRef& into) const {
  into.state[kName] = name;
  into.state[kId] = id;
}

std::optional<NetworkOwner> NetworkOwner::from(const ContainerRef& container) {
  const auto name = container.state.find(kName);
  const auto id = container.state.find(kId);
  if (name == container.state.end() || id == container.state.end()) return std::nullopt;
  // They come from disk: the name becomes a part of a path, the id an argument.
  if (!is_state_name(name->second) || !is_container_id(id->second)) return std::nullopt;
  return NetworkOwner{name->second, id->second};
}

bool NetworkOwner::in_use(const std::string& state_dir) const {
  return PodmanFiles{state_dir, name}.id() == id;
}

void await_peer(EventLoop& loop, const std::string& state_dir, std::shared_ptr<const TaskSpec> spec,
                const std::string& task, std::chrono::nanoseconds patience,
                Done<NetworkOwner> done) {
  auto wait = std::make_shared<Wait>(loop);
  wait->state_dir = state_dir;
  wait->spec = std::move(spec);
  wait->task = task;
  wait->patience = patience;
  wait->done = std::move(done);
  wait->deadline = Clock::now() + patience;
  wait->look();
}

}  // namespace ndc::runtime
