// The one interface between decisions (actors) and the machine. An implementation drives one
// container engine; it knows no actor and no wire format.
//
// Every call returns at once. `Done` callbacks and exit notices run exactly once, later, on the
// runtime's event loop thread; they must be short and must not block. Every call is bounded by a
// deadline of its own (command_timeout, or the one given), so a hung engine is an error
// (kTimeout), never a call without an answer. All methods may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/error.hpp"
#include "model/exec.hpp"
#include "model/fingerprint.hpp"
#include "model/registry_auth.hpp"
#include "model/task_config.hpp"
#include "model/task_exit.hpp"
#include "model/task_handle.hpp"
#include "model/task_spec.hpp"
#include "model/usage.hpp"

namespace ndc::runtime {

template <class T>
using Done = std::function<void(Expected<T>)>;

// An image that is present on this host.
struct Image {
  std::string reference;                   // as asked for
  std::string id;                          // what it resolves to
  std::optional<std::string> stop_signal;  // a signal name, where the image sets one
  std::string digest{};                    // of its manifest, "sha256:…"; empty if nobody knows
};

// Which image: a reference, and the platform where it is not the host's own ("linux/amd64").
struct ImageQuery {
  std::string reference;
  std::optional<std::string> platform;
};

struct PullRequest {
  ImageQuery image;
  std::optional<RegistryAuth> auth;          // with the server's address
  std::chrono::nanoseconds timeout{};        // of the whole pull
  std::chrono::nanoseconds stall_timeout{};  // without any progress; 0: none
  // How many bytes the engine has moved so far, from time to time; may be empty. Loop thread.
  std::function<void(std::uint64_t bytes)> progress;
};

// `load`: an image archive that lies in the task's directory.
struct LoadRequest {
  ImageQuery image;  // what it has to bring
  std::string archive;
  std::shared_ptr<const TaskSpec> spec;
  std::chrono::nanoseconds timeout{};
};

// A container that bears the driver's labels (model/labels.hpp). One without an id has gone
// already, and what a runtime had written for it is left: remove() takes that away. One without
// labels too is the rest of such a removal, and nobody's any more.
struct FoundContainer {
  ContainerRef container;
  std::map<std::string, std::string> labels;
  bool running = false;
  std::optional<WallTime> created_at;
  // What a start left that failed, and could not remove it: nothing that anybody wants to look at.
  bool start_failed = false;
};

struct LogPaths {
  std::string stdout_path;
  std::string stderr_path;
};

// The way of one task's output to Nomad's log collector. Direct: the workload holds the FIFOs
// itself and nothing of ours is in between. Pumped (TTY): the engine's log is copied into the FIFO.
// Destroying it closes our ends and stops a pump; the workload is not touched.
class LogRoute {
 public:
  LogRoute() = default;
  LogRoute(const LogRoute&) = delete;
  LogRoute& operator=(const LogRoute&) = delete;
  virtual ~LogRoute() = default;

  // From here on, or from follow(), until finish() there is a writer at the collector's FIFOs, and
  // for as long as what is returned is kept (null where there are none). Not before somebody has
  // them who outlives this process, or has had them: a collector that has seen its last writer go
  // is at its end.
  virtual std::shared_ptr<const void> hold() { return nullptr; }
  // The same where there is such a writer already; null where there is none.
  virtual std::shared_ptr<const void> held() const { return nullptr; }

  // Pumped routes: begins to copy, or goes on where an earlier route of the same container
  // stopped. `failed` is called at most once, if copying cannot go on. No-op on a direct route.
  virtual void follow(const ContainerRef& container, std::function<void(Error)> failed) = 0;

  // The container has ended: hands over what is still in flight, closes our ends so that the
  // collector sees the end of the stream, then calls `drained`. The task's end is told after that:
  // Nomad starts a collector again for the next attempt only if it finds it ended. Who asks again
  // waits for the same end.
  virtual void finish(std::function<void()> drained) = 0;
};

struct StartRequest {
  std::shared_ptr<const TaskSpec> spec;
  std::shared_ptr<const TaskConfig> config;
  Image image;
  std::string container_name;
  std::map<std::string, std::string> labels;
  std::shared_ptr<LogRoute> logs;
};

// Keys of ContainerRef.state that are told to whoever inspects a task, where they are there.
inline constexpr const char* kStateVersion = "runtime_version";
inline constexpr const char* kStateDigest = "image_digest";
inline constexpr const char* kStateAddress = "address";  // in a network that is not the driver's

struct StartedContainer {
  ContainerRef container;
  WallTime started_at{};
  std::optional<DriverNetwork> network;
  // What the engine did otherwise than a user may expect; each becomes a task event.
  std::vector<std::string> notes;
};

// What was found when asking for a container that may have gone on without us.
struct StillRunning {};
using Attached = std::variant<StillRunning, TaskExit>;

using ExitSink = std::function<void(TaskExit)>;

struct UsageReading {
  ContainerRef container;
  Expected<UsageSample> sample;
};

// One run of the engine's CLI that has ended.
struct EngineCall {
  std::string name;          // "run", "image inspect"
  std::string_view outcome;  // "ok", "failed" (it said so), "no_answer" (time-out, could not run)
  std::chrono::nanoseconds took{};
};
using CallSink = std::function<void(const EngineCall&)>;

// A process of this machine that a container depends on.
enum class ContainerProcess {
  kWorkload,  // its first one (Podman; that of Apple's container is in its machine)
  kWatcher,   // who knows of its end: conmon, or the monitor
  kCli,       // Apple's CLI, attached to it
};

class ContainerRuntime {
 public:
  ContainerRuntime() = default;
  ContainerRuntime(const ContainerRuntime&) = delete;
  ContainerRuntime& operator=(const ContainerRuntime&) = delete;
  virtual ~ContainerRuntime() = default;

  // "podman", "apple": what handles and attributes say.
  virtual std::string_view name() const = 0;

  // The engine's health. Never an error: what is wrong is in the fingerprint, with its cure.
  // Attributes that depend on the engine are filled in.
  virtual void probe(std::function<void(Fingerprint)> done) = 0;

  // `doubt` is called (any thread, any number of times) when something suggests that the last
  // probe's answer no longer holds: a call failed for want of the engine, its executable came or
  // went. Cheap to watch; replaces an earlier callback.
  virtual void on_doubt(std::function<void()> doubt) = 0;

  // `sink` is told of every call of the engine's CLI from here on, on the loop thread; it replaces
  // an earlier one. Commands in containers are not counted: they last as long as they please.
  virtual void on_call(CallSink /*sink*/) {}

  // Everything in the job that this engine or this node's policy refuses, all at once
  // (kInvalidConfig, kUnsupported). Looks at host paths, starts nothing.
  virtual void check(std::shared_ptr<const TaskSpec> spec, std::shared_ptr<const TaskConfig> config,
                     Done<void> done) = 0;

  // nullopt: not present.
  virtual void find_image(ImageQuery image, Done<std::optional<Image>> done) = 0;

  // kImageNotFound, kAuthFailed, kRegistryUnreachable, kTimeout, kRuntimeUnavailable.
  virtual void pull_image(PullRequest request, Done<Image> done) = 0;

  // kInvalidConfig where the archive is not there, leads out of the task's directories or does not
  // hold the image.
  virtual void load_image(LoadRequest request, Done<Image> done) = 0;

  // OK if it is gone already. kWrongState while a container, anybody's, uses it.
  virtual void remove_image(std::string reference, Done<void> done) = 0;

  // The references of images that are to be removed once no task uses them, kept for the next
  // plugin. A runtime without a place for them keeps none, which is the default.
  virtual void keep_references(std::set<std::string> /*references*/) {}
  virtual void kept_references(Done<std::set<std::string>> done) { done({}); }

  // Every container with a task's label, running or not, whichever agent's it is.
  virtual void list_containers(Done<std::vector<FoundContainer>> done) = 0;

  // Looks for the collector's FIFOs and opens them when there is use for them; never blocks on an
  // absent reader. "/dev/null" is honoured.
  virtual Expected<std::shared_ptr<LogRoute>> open_logs(const LogPaths& paths, bool tty) = 0;

  // Creates and starts the container; done once its process runs. On failure nothing is left
  // behind, but for what could not be removed: list_containers() tells of that. A container of the
  // same name is adopted if it belongs to the same task id, replaced if it is an earlier attempt of
  // the same allocation, refused (kAlreadyExists) if it is not ours. `exited` is called once, after
  // `done`, unless forget() comes first.
  virtual void start(StartRequest request, ExitSink exited, Done<StartedContainer> done) = 0;

  // Finds a container again after a restart of the plugin or of a task actor. kContainerGone if it
  // is no more. When it still runs, `exited` is called later as for start(); several callers may
  // attach, each gets its notice.
  virtual void attach(ContainerRef container, ExitSink exited, Done<Attached> done) = 0;

  // Signal (Linux number) to the container's first process. ended_already() where it has ended.
  virtual void signal(ContainerRef container, int signal, Done<void> done) = 0;

  // SIGKILL by the engine's own stop, after a signal that did not end the task. OK if it has ended.
  virtual void stop(ContainerRef container, Done<void> done) = 0;

  // Removes the container, running or not, and every file that belongs to it. OK if it is gone
  // already. With `keep_container` only our own files go (gc.container = false), unless what ran in
  // it may run on without anybody's knowledge.
  virtual void remove(ContainerRef container, bool keep_container, Done<void> done) = 0;

  // No task has to do with the container of that name any more, though nobody asked for its
  // removal: what list_containers() finds of it may be removed from here on.
  virtual void disown(const std::string& /*container_name*/) {}

  // SIGKILL to one of its processes, for tests of what follows. kWrongState where there is none
  // (any more); kUnsupported where the engine has no such process here.
  virtual void kill_process(ContainerRef container, ContainerProcess which, Done<void> done);

  // One reading for each container, in the order given; one engine call or none for all of them.
  virtual void sample(std::vector<ContainerRef> containers,
                      std::function<void(std::vector<UsageReading>)> done) = 0;

  // Runs a command in the container. `client` hears nothing before `done` succeeded.
  virtual void exec(ContainerRef container, ExecRequest request, std::shared_ptr<ExecClient> client,
                    Done<std::shared_ptr<ExecSession>> done) = 0;
};

inline void ContainerRuntime::kill_process(ContainerRef container, ContainerProcess /*which*/,
                                           Done<void> done) {
  done(fail({.code = ErrorCode::kUnsupported,
             .what = "kill process",
             .on = container.name,
             .cause = "containers of " + std::string{name()} + " have no such process here"}));
}

}  // namespace ndc::runtime
