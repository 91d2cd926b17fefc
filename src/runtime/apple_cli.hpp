// One call of Apple's `container`: where the program is, what environment it gets, how many run at
// a time, how long each may take, and when calling it is pointless. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "model/version_number.hpp"
#include "runtime/apple_call.hpp"
#include "runtime/apple_json.hpp"
#include "runtime/circuit_breaker.hpp"
#include "runtime/engine_call.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/process.hpp"

namespace ndc::runtime {

// Where the CLI is installed: by Apple's package, by Homebrew.
std::vector<std::string> usual_apple_places();

// `configured`, else the first of the usual places that has it, else the name for PATH.
std::string find_apple_cli(const std::string& configured, const std::vector<std::string>& usual);

class AppleCli : public std::enable_shared_from_this<AppleCli> {
 public:
  // Without container_path in the configuration the CLI is looked for at every call: it may be
  // installed, or move from one usual place to another, while the plugin runs.
  AppleCli(EventLoop& loop, const PluginConfig& config,
           std::vector<std::string> usual_places = usual_apple_places());

  using Result = std::function<void(Expected<CommandResult>)>;

  // kVital calls end what runs, or show whether the engine works again: they are made even while a
  // breaker is open, and do not wait for a slot; a time-out of theirs says nothing about others. So
  // are kPing ones, whose success says nothing about other calls. kLong ones (pulls) take no slot,
  // and a time-out of theirs says nothing either. The last two end with the loop. kCreate ones may
  // have to fetch a kernel or an init image first: a time-out of theirs is for create_ended() to
  // judge, and their slots are their own.
  enum class Kind { kNormal, kVital, kPing, kLong, kCreate };

  Command command(const AppleCall& call) const;
  void run(Command command, Kind kind, Result done);
  void run(const AppleCall& call, Result done) {
    run(command(call), Kind::kNormal, std::move(done));
  }
  // An exit code other than 0 is an error too: apple_error() with `what` and `on`.
  void run_ok(Command command, Kind kind, std::string what, std::string on,
              std::function<void(Expected<std::string>)> done);

  // All containers, running or not. Callers that come while a call waits to be made share it.
  using Containers = std::shared_ptr<const std::vector<AppleContainer>>;
  void list(std::function<void(Expected<Containers>)> done);
  // One container; nullopt where the engine has none of this id.
  void find(const std::string& id,
            std::function<void(Expected<std::optional<AppleContainer>>)> done);

  using Networks = std::vector<AppleNetwork>;
  void networks(std::function<void(Expected<Networks>)> done);

  // The CLI's version, asked once for a program: until forget_other_version().
  void version(std::function<void(Expected<VersionNumber>)> done);
  std::optional<VersionNumber> known_version() const { return version_; }
  void learn_version(VersionNumber version) { version_ = version; }
  // Forgets the version if the program is another file by now, or the same one written anew.
  void forget_other_version();

  // The program's path, for a process that outlives us. kRuntimeUnavailable where it is missing.
  Expected<std::string> program() const;

  // ContainerRuntime::on_doubt(); on the loop thread.
  void on_doubt(std::function<void()> doubt);

  // ContainerRuntime::on_call().
  void on_call(CallSink sink) { call_sink_ = std::move(sink); }

  // Why calls fail again and again, if they do: of all, or of one subcommand.
  std::optional<std::string> failing() const;
  // The same, where for a while none is made but vital ones and pings.
  std::optional<std::string> refusing() const;
  // Once it runs again it may do what it did not before.
  void service_stopped();

  // A start of the container `id` that was not done in its time, or any that was. An engine may
  // answer everything else while it starts nothing. `reason`: without ids.
  void start_hung(const std::string& id, const std::string& reason);
  // A kCreate call: whether it was a start_hung().
  void create_ended(const std::string& id, const Expected<CommandResult>& result);
  void forget_hung_starts();
  // Why no start is to be expected to work, where those of more than one container have hung lately
  // and none has worked in between.
  std::optional<std::string> hung_starts() const;

  std::chrono::nanoseconds timeout() const { return timeout_; }
  EventLoop& loop() const { return loop_; }

 private:
  struct Waiting {
    Command command;
    Kind kind = Kind::kNormal;
    Result done;
    bool queued = false;  // no slot was free
  };
  // Calls of one kind that wait for each other.
  struct Lane {
    std::deque<Waiting> waiting;
    int running = 0;
  };
  void next(Lane& lane);
  void launch(Waiting call);
  void look_at_program();
  void judge(Kind kind, const std::string& name, const Expected<CommandResult>& result);

  EventLoop& loop_;
  std::string configured_;
  std::vector<std::string> usual_places_;
  std::chrono::nanoseconds timeout_;
  Lane quick_;
  Lane creates_;
  CircuitBreaker service_;  // that it is there, and its CLI
  CircuitBreakers calls_;   // that each is answered
  CircuitBreaker starts_;
  std::string last_hung_;  // id, of no start that worked since
  std::optional<VersionNumber> version_;
  std::string version_of_;  // which file it is of
  std::function<void()> doubt_;
  CallSink call_sink_;
  std::string program_seen_;  // which file it was
  std::shared_ptr<EventLoop::Timer> look_;
  std::vector<std::function<void(Expected<Containers>)>> next_list_;
};

}  // namespace ndc::runtime
