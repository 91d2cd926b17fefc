// The narrow slice of CAF that this project uses, spelled once for 0.17.6 (Debian 12) and 1.x
// (Homebrew). No other file names an API that differs between the two generations.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include <caf/all.hpp>

#include "actors/fault_seam.hpp"
#include "actors/message_names.hpp"
#include "model/duration.hpp"

#if __has_include(<caf/anon_mail.hpp>)  // CAF_VERSION cannot be compared: it is 0100 in 1.1.0
#define ACT_CAF_V1 1
#else
#define ACT_CAF_V1 0
#endif

// For use between CAF_BEGIN_TYPE_ID_BLOCK and CAF_END_TYPE_ID_BLOCK. T must be copyable,
// default-constructible and fully qualified without a leading "::".
#define ACT_MESSAGE(block, T) \
  CAF_ADD_TYPE_ID(block, (T)) \
  CAF_ALLOW_UNSAFE_MESSAGE_TYPE(T)

namespace ndc::act {

using Self = caf::event_based_actor*;

// By the clock that tell_after() goes by: tests move it.
inline std::chrono::steady_clock::time_point now(Self self) {
  return self->home_system().clock().now();
}

// Where actors report what CAF would print to stdout, which is the handshake channel. Set before
// the first system starts.
using Fault = std::function<void(const char* actor, const char* what)>;
inline Fault& fault_hook() {
  static Fault hook = [](const char*, const char*) {};
  return hook;
}

// Once, before the first actor system.
template <class Block>
void init() {
#if ACT_CAF_V1
  caf::init_global_meta_objects<Block>();
  caf::core::init_global_meta_objects();
#endif
}

struct Config : caf::actor_system_config {  // parse() is never called: no argv, no files
  explicit Config(std::size_t workers = 4, std::size_t messages_per_run = 64) {
#if ACT_CAF_V1
    const std::string group = "caf.scheduler.";
    set(group + "policy", "sharing");  // the default, "stealing", polls while idle
#else
    const std::string group = "scheduler.";
    set(group + "policy", caf::atom("sharing"));
#endif
    set(group + "max-threads", workers);
    set(group + "max-throughput", messages_per_run);
  }
};

// Asynchronous messages are anonymous and may be sent from any thread. A named sender would get the
// receiver's errors back as messages and, by default, die of them.
#define ACT_FWD(xs) std::forward<decltype(xs)>(xs)
namespace detail {
#if ACT_CAF_V1
void send(const caf::actor& to, auto&& message) { caf::anon_mail(ACT_FWD(message)).send(to); }
#else
void send(const caf::actor& to, auto&& message) { caf::anon_send(to, ACT_FWD(message)); }
#endif
}  // namespace detail

// After a while, of a year at most; for timers. Not subject to injected faults.
#if ACT_CAF_V1
void tell_after(const caf::actor& to, auto delay, auto&& message) {
  if (!to) return;
  auto due =
      caf::actor_cast<caf::abstract_actor*>(to)->home_system().clock().now() + bounded_wait(delay);
  static_cast<void>(caf::anon_mail(ACT_FWD(message)).schedule(due).send(to));
}
#else
void tell_after(const caf::actor& to, auto delay, auto&& message) {
  if (to) caf::delayed_anon_send(to, bounded_wait(delay), ACT_FWD(message));
}
#endif

// "StopTask" for ndc::actors::StopTask; CAF has the whole name as a const char* (0.17) or a view.
template <class Message>
constexpr std::string_view message_name() {
  const std::string_view full = caf::type_name<Message>::value;
  return full.substr(full.rfind(':') + 1);
}

void tell(const caf::actor& to, auto&& message) {
  constexpr std::string_view name = message_name<std::remove_cvref_t<decltype(message)>>();
  static_assert(actors::is_among(actors::kMessageNames, name), "not in actors/message_names.hpp");
  if (!to) return;
  auto* receiver = caf::actor_cast<caf::abstract_actor*>(to);
  if (const auto faults = faults_of(receiver->home_system())) {
    const auto* who = dynamic_cast<const Addressed*>(receiver);
    const auto verdict =
        faults->judge(who ? who->actor : "", who ? who->task : std::string{}, name);
    using Action = actors::MessageFaults::Verdict::Action;
    if (verdict.action == Action::kDrop) return;
    if (verdict.action == Action::kCrash) return detail::send(to, Crash{});
    if (verdict.action == Action::kDelay) return tell_after(to, verdict.delay, ACT_FWD(message));
  }
  detail::send(to, ACT_FWD(message));
}

inline bool failed(const caf::error& e) { return e != caf::none; }

// Runs State{self, args...} with `behavior make_behavior()` as an actor. State is built on the
// actor's own worker and destroyed when the actor exits, which cuts handle cycles. The actor of one
// task tells its id in a static `task_of(args...)`.
template <class State>
class Host final : public caf::event_based_actor, public Addressed {
  static_assert(actors::is_among(actors::kActorNames, State::name),
                "not in actors/message_names.hpp");

 public:
  template <class... Ts>
  explicit Host(caf::actor_config& cfg, Ts&&... xs) : event_based_actor(cfg) {
    actor = State::name;
    if constexpr (requires { State::task_of(xs...); }) task = State::task_of(xs...);
    auto args = std::make_shared<std::tuple<std::decay_t<Ts>...>>(std::forward<Ts>(xs)...);
    build_ = [this, args] {
      std::apply([this](auto&... ys) { state_.emplace(this, std::move(ys)...); }, *args);
    };
    set_exception_handler([](std::exception_ptr& e) {
      std::string what = "unknown exception";
      try {
        std::rethrow_exception(e);
      } catch (const std::exception& x) {
        what = x.what();
      } catch (...) {  // a non-standard exception has no text; `what` says so
      }
      fault_hook()(State::name, what.c_str());
      return caf::make_error(caf::sec::runtime_error, std::move(what));
    });
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    set_default_handler([this](auto*, auto& m) {
      if (is_crash(m)) {
        fault_hook()(State::name, "injected failure");
        quit(caf::make_error(caf::sec::runtime_error, "injected failure"));
      } else {
        fault_hook()(State::name, "unknown message");
      }
      return caf::drop(nullptr, m);
    });
#pragma GCC diagnostic pop
  }
  const char* name() const override { return State::name; }
  caf::behavior make_behavior() override {
    if (const auto faults = faults_of(home_system())) {
      alive_ = faults->enrol(actor, task, [me = address()] {
        if (const auto living = caf::actor_cast<caf::actor>(me)) detail::send(living, Crash{});
      });
    }
    std::exchange(build_, nullptr)();
    return state_->make_behavior();
  }
  void on_exit() override {
    alive_.reset();
    build_ = nullptr;
    state_.reset();
  }

 private:
  static bool is_crash(auto& m) {
    if constexpr (requires { m.content(); }) {  // 0.17's message_view
      return m.content().template match_elements<Crash>();
    } else {
      return m.template match_elements<Crash>();
    }
  }

  std::function<void()> build_;
  std::optional<State> state_;
  actors::MessageFaults::Ticket alive_;  // null unless faults may strike
};

// Exit callbacks per watched actor, run inside the watcher. One Watch per State.
class Watch {
 public:
  using Callback = std::function<void(const caf::error&)>;
#if ACT_CAF_V1
  explicit Watch(Self self) : self_{self} {}
  void operator()(const caf::actor& who, Callback fn) {
    self_->monitor(who, [fn = std::move(fn)](const caf::error& why) { fn(why); });
  }
#else
  explicit Watch(Self self) : self_{self} {
    self->set_down_handler([this](caf::down_msg& m) {
      if (auto n = calls_.extract(m.source)) n.mapped()(m.reason);
    });
  }
  void operator()(const caf::actor& who, Callback fn) {
    calls_[who.address()] = std::move(fn);
    self_->monitor(who);
  }
#endif
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  Self self_;
  std::unordered_map<caf::actor_addr, Callback> calls_;  // 0.17 only
};

}  // namespace ndc::act
