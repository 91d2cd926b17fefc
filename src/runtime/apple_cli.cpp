#include "runtime/apple_cli.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "runtime/apple_environment.hpp"
#include "runtime/apple_errors.hpp"
#include "runtime/child.hpp"

namespace ndc::runtime {
namespace {

// The daemon does one start at a time and answers the rest quickly: more calls only queue up there,
// where the wait counts against their deadline.
constexpr int kSlots = 8;

// `list --all` of a thousand containers is some 3 MB.
constexpr std::size_t kCaptureLimit = 64u << 20;

constexpr std::chrono::seconds kLookInterval{2};

// Starts of one container may be slow, or never done. After some time without any the next one is
// worth a try: without that a node that Nomad gives no task would stay unhealthy for ever.
constexpr BreakerLimits kStartLimits{2, std::chrono::minutes{5}, std::chrono::minutes{5}};

constexpr const char* kGivenUp = "the service of Apple's container does not answer its CLI in time";

// Which file a program is; empty if there is none.
std::string identity_of(const Expected<std::string>& path) {
  struct stat info {};
  if (!path || ::stat(path->c_str(), &info) != 0) return {};
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) + ":" +
         std::to_string(info.st_mtime) + ":" + std::to_string(info.st_size) + ":" + *path;
}

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

}  // namespace

std::string find_apple_cli(const std::string& configured, const std::vector<std::string>& usual) {
  if (!configured.empty()) return configured;
  for (const std::string& place : usual) {
    if (::access(place.c_str(), X_OK) == 0) return place;
  }
  return "container";
}

std::vector<std::string> usual_apple_places() {
  return {"/usr/local/bin/container", "/opt/homebrew/bin/container"};
}

AppleCli::AppleCli(EventLoop& loop, const PluginConfig& config,
                   std::vector<std::string> usual_places)
    : loop_{loop},
      configured_{config.container_path},
      usual_places_{std::move(usual_places)},
      timeout_{config.command_timeout},
      starts_{kStartLimits} {}

Expected<std::string> AppleCli::program() const {
  return resolve_program({find_apple_cli(configured_, usual_places_)}, apple_cli_environment());
}

Command AppleCli::command(const AppleCall& call) const {
  Command out;
  out.argv = call.argv(find_apple_cli(configured_, usual_places_));
  out.environment = apple_cli_environment();
  out.timeout = timeout_;
  out.capture_limit = kCaptureLimit;
  return out;
}

void AppleCli::run(Command command, Kind kind, Result done) {
  if (kind == Kind::kNormal || kind == Kind::kCreate) {
    Lane& lane = kind == Kind::kNormal ? quick_ : creates_;
    const bool queued = lane.running >= kSlots;
    lane.waiting.push_back({std::move(command), kind, std::move(done), queued});
    return next(lane);
  }
  launch({std::move(command), kind, std::move(done), false});
}

void AppleCli::next(Lane& lane) {
  while (lane.running < kSlots && !lane.waiting.empty()) {
    Waiting call = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    const auto now = CircuitBreaker::Clock::now();
    auto refusal = service_.refusal(now);
    if (!refusal) refusal = calls_.refusal(call_name(call.command.argv), now);
    // Others are trying whether creates work again. Were each that waits for them to try as well,
    // the last one of a node that comes up would be told after hours.
    const bool late = call.kind == Kind::kCreate && call.queued && lane.running > 0;
    if (!refusal && late) refusal = hung_starts();
    if (refusal) {
      // Later, as every answer: callers may hold locks of their own.
      loop_.post(
          [done = std::move(call.done), name = command_name(call.command.argv), reason = *refusal] {
            done(fail({ErrorCode::kRuntimeUnavailable, "run", name,
                       "not tried, because the last calls failed: " + reason,
                       "check the node: container system status"}));
          });
      continue;
    }
    ++lane.running;
    call.done = [self = shared_from_this(), &lane,
                 done = std::move(call.done)](Expected<CommandResult> result) {
      --lane.running;
      done(std::move(result));
      self->next(lane);
    };
    launch(std::move(call));
  }
}

void AppleCli::launch(Waiting call) {
  const std::string name = call_name(call.command.argv);
  call.done = timed(call.command.argv, call_sink_, std::move(call.done));
  call.command.ends_with_loop = call.kind == Kind::kLong || call.kind == Kind::kPing;
  run_command(
      loop_, std::move(call.command),
      [self = shared_from_this(), kind = call.kind, name,
       done = std::move(call.done)](Expected<CommandResult> result) {
        self->judge(kind, name, result);
        if (result && result->truncated) {
          done(fail(
              {ErrorCode::kRuntimeUnavailable, "run", "container", "its answer is too long", {}}));
          return;
        }
        done(std::move(result));
      });
}

// An answer, even a refusal, is a sign of life; silence and a missing daemon are not. Silence is
// that of one subcommand, whatever others say; the daemon is there for all or for none.
void AppleCli::judge(Kind kind, const std::string& name, const Expected<CommandResult>& result) {
  const auto now = CircuitBreaker::Clock::now();
  const auto doubt = [&] {
    if (doubt_ && kind != Kind::kPing) doubt_();  // pings are the probe's own
  };
  const auto silent = [&](const std::string& reason) {
    if (kind == Kind::kLong || kind == Kind::kCreate) return;
    // It may be one container's alone, of which the rest is to be spared.
    if (kind != Kind::kVital) calls_.failed(name, reason, now);
    doubt();
  };
  const auto missing = [&](const std::string& reason) {
    service_.failed(reason, now);
    doubt();
  };
  if (!result) {
    const std::string reason = result.error().message();
    if (result.error().code == ErrorCode::kTimeout) return silent(reason);
    if (kind != Kind::kLong) missing(reason);
    return;
  }
  if (!ok(*result) && says_daemon_is_down(result->err)) {
    return missing("Apple's container does not reach its service (XPC connection error)");
  }
  // The CLI gives up by itself, and before our deadline, on a service that hangs. A stop says so of
  // a slow machine, too, and works.
  if (!ok(*result) && says_daemon_timed_out(result->err)) {
    if (kind == Kind::kNormal) silent(kGivenUp);
    return;
  }
  calls_.succeeded(name);
  if (kind != Kind::kPing) service_.succeeded();  // some of those do not ask it
}

std::optional<std::string> AppleCli::failing() const {
  return service_.open() ? service_.reason() : calls_.open();
}

std::optional<std::string> AppleCli::refusing() const {
  const auto now = CircuitBreaker::Clock::now();
  return service_.pauses(now) ? service_.reason() : calls_.pauses(now);
}

void AppleCli::service_stopped() {
  forget_hung_starts();
  calls_ = {};
}

void AppleCli::start_hung(const std::string& id, const std::string& reason) {
  // A job's own kernel or init image may never boot, however often that is tried.
  if (id == last_hung_) return;
  last_hung_ = id;
  starts_.failed(reason, CircuitBreaker::Clock::now());
  if (doubt_ && starts_.open()) doubt_();
}

void AppleCli::create_ended(const std::string& id, const Expected<CommandResult>& result) {
  if (!result && result.error().code == ErrorCode::kTimeout) {
    start_hung(id, "container create: " + result.error().cause);
  }
  if (result && !ok(*result) && says_daemon_timed_out(result->err)) start_hung(id, kGivenUp);
}

void AppleCli::forget_hung_starts() {
  starts_.succeeded();
  last_hung_.clear();
}

std::optional<std::string> AppleCli::hung_starts() const {
  if (!starts_.pauses(CircuitBreaker::Clock::now())) return std::nullopt;
  return starts_.reason();
}

void AppleCli::on_doubt(std::function<void()> doubt) {
  doubt_ = std::move(doubt);
  program_seen_ = identity_of(program());
  look_at_program();
}

void AppleCli::look_at_program() {
  look_ = loop_.after(kLookInterval, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || !self->doubt_) return;
    std::string now = identity_of(self->program());
    if (now != self->program_seen_) {
      self->program_seen_ = std::move(now);
      self->version_.reset();
      self->doubt_();
    }
    self->look_at_program();
  });
}

void AppleCli::run_ok(Command command, Kind kind, std::string what, std::string on,
                      std::function<void(Expected<std::string>)> done) {
  run(std::move(command), kind,
      [what = std::move(what), on = std::move(on),
       done = std::move(done)](Expected<CommandResult> result) {
        if (!result) return done(fail(std::move(result.error()).wrap(what, on)));
        if (!ok(*result)) return done(fail(apple_error(what, on, result->status, result->err)));
        done(std::move(result->out));
      });
}

void AppleCli::list(std::function<void(Expected<Containers>)> done) {
  next_list_.push_back(std::move(done));
  if (next_list_.size() > 1) return;
  // From its own start on a call takes no more callers: what they did before asking must show.
  Command list = command(AppleCall::list_all());
  loop_.post([self = shared_from_this(), list = std::move(list)]() mutable {
    auto callers = std::make_shared<std::vector<std::function<void(Expected<Containers>)>>>(
        std::exchange(self->next_list_, {}));
    self->run(std::move(list), Kind::kNormal, [callers](Expected<CommandResult> result) {
      const auto answer = [&]() -> Expected<Containers> {
        const char* what = "list containers";
        if (!result) return fail(std::move(result.error()).wrap(what));
        if (!ok(*result)) return fail(apple_error(what, {}, result->status, result->err));
        auto parsed = parse_apple_containers(result->out);
        if (!parsed) return fail(std::move(parsed.error()).wrap(what));
        return std::make_shared<const std::vector<AppleContainer>>(std::move(*parsed));
      }();
      for (const auto& caller : *callers) caller(answer);
    });
  });
}

void AppleCli::find(const std::string& id,
                    std::function<void(Expected<std::optional<AppleContainer>>)> done) {
  list([id, done = std::move(done)](const Expected<Containers>& all) {
    if (!all) return done(fail(all.error()));
    const auto found = std::find_if((*all)->begin(), (*all)->end(),
                                    [&](const AppleContainer& each) { return each.id == id; });
    if (found == (*all)->end()) return done(std::optional<AppleContainer>{});
    done(std::optional{*found});
  });
}

void AppleCli::networks(std::function<void(Expected<Networks>)> done) {
  const char* what = "list networks";
  run_ok(command(AppleCall::network_list()), Kind::kNormal, what, {},
         [what, done = std::move(done)](const Expected<std::string>& out) {
           if (!out) return done(fail(out.error()));
           auto parsed = parse_apple_networks(*out);
           if (!parsed) return done(fail(std::move(parsed.error()).wrap(what)));
           done(std::move(parsed));
         });
}

void AppleCli::forget_other_version() {
  const std::string now = identity_of(program());
  if (now.empty() || now != version_of_) version_.reset();
}

void AppleCli::version(std::function<void(Expected<VersionNumber>)> done) {
  if (version_) return done(*version_);
  // Before the call: a program that is replaced meanwhile is another one.
  std::string of = identity_of(program());
  run_ok(command(AppleCall::version()), Kind::kPing, "ask the version of", "container",
         [self = shared_from_this(), of = std::move(of),
          done = std::move(done)](const Expected<std::string>& out) {
           if (!out) return done(fail(out.error()));
           const auto version = parse_version(apple_version_in(*out));
           if (!version) {
             return done(fail({ErrorCode::kRuntimeUnavailable,
                               "ask the version of",
                               "container",
                               "it did not say one",
                               {}}));
           }
           self->version_ = version;
           self->version_of_ = of;
           done(*version);
         });
}

}  // namespace ndc::runtime
