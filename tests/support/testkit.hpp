// An actor system without worker threads or real time. run() delivers everything that is ready;
// advance() moves the clock and delivers what became due.
#pragma once

#include <chrono>

#include "actors/compat.hpp"
#include "actors/messages.hpp"

#if ACT_CAF_V1
#include <caf/test/context.hpp>
#include <caf/test/fixture/deterministic.hpp>  // needs CAF::test at link time
#include <caf/test/reporter.hpp>
#else
#include <caf/scheduler/test_coordinator.hpp>
#endif

namespace ndc::act {

#if ACT_CAF_V1
namespace testing {
// The fixture expects to run inside its own framework: supply a reporter and a current test.
struct Surroundings {
  struct Case : caf::test::runnable {
    explicit Case(caf::test::context_ptr ctx)
        : runnable(std::move(ctx), "testkit", caf::test::block_type::test) {}
    void do_run() {}
    void run_next_test_branch_impl() {}
  };
  Surroundings() {
    caf::test::reporter::instance(reporter.get());
    reporter->verbosity(0);
    reporter->begin_suite("testkit");
    reporter->begin_test(context, "testkit");
  }
  caf::test::context_ptr context = std::make_shared<caf::test::context>();
  std::unique_ptr<caf::test::reporter> reporter = caf::test::reporter::make_default();
  Case current{context};
};
}  // namespace testing

class Testkit : private testing::Surroundings, private caf::test::fixture::deterministic {
 public:
  caf::actor_system& system() { return sys; }
  void run() { dispatch_messages(); }

 private:
  void shift(caf::timespan d) { advance_time(d); }
#else
class Testkit {
 public:
  Testkit() { system_.await_actors_before_shutdown(false); }
  ~Testkit() {
    coordinator().clock().cancel_all();
    run();
  }
  Testkit(const Testkit&) = delete;
  Testkit& operator=(const Testkit&) = delete;
  caf::actor_system& system() { return system_; }
  void run() { coordinator().run(); }

 private:
  struct Manual : caf::actor_system_config {
    Manual() { set("scheduler.policy", caf::atom("testing")); }
  };
  caf::scheduler::test_coordinator& coordinator() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }
  void shift(caf::timespan d) { coordinator().advance_time(d); }
  Manual config_;
  caf::actor_system system_{config_};
#endif
 public:
  void advance(caf::timespan total, caf::timespan step = std::chrono::milliseconds{10}) {
    run();
    for (caf::timespan done{0}; done < total; done += step) {
      shift(step);
      run();
    }
  }
};

}  // namespace ndc::act
