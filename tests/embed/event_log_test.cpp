// What the embedded driver keeps of its events, and waiting for one of them.

#include <chrono>
#include <future>
#include <string>

#include "embed/embedded_driver.hpp"
#include "embed/event_log.hpp"
#include "support/catch.hpp"

namespace ndc::embed {
namespace {

using namespace std::chrono_literals;

TaskEvent event(const std::string& task_id, const std::string& message) {
  TaskEvent out;
  out.task_id = task_id;
  out.message = message;
  return out;
}

TEST_CASE("of more events than are kept the oldest go") {
  EventLog log{3};
  for (int i = 1; i <= 5; ++i) log.next(event("web", "event " + std::to_string(i)));
  const auto kept = log.all();
  REQUIRE(kept.size() == 3);
  CHECK(kept.front().message == "event 3");
  CHECK(kept.back().message == "event 5");
  CHECK(log.wait_for("web", "event", 0ns)->message == "event 3");
  CHECK(log.wait_for("web", "event 2", 0ns).error().code == ErrorCode::kTimeout);
}

TEST_CASE("the embedded driver keeps ten thousand events, as its header says") {
  EventLog log{EmbeddedDriver::kKeptEvents};
  for (int i = 1; i <= 10'001; ++i) log.next(event("web", std::to_string(i)));
  CHECK(log.all().size() == 10'000);
}

TEST_CASE("who waits for an event finds it though others push out what was there before") {
  EventLog log{3};
  for (int i = 0; i < 3; ++i) log.next(event("web", "old"));
  auto found = std::async(std::launch::async, [&] { return log.wait_for("web", "new", 10s); });
  // Whether it waits already or begins only now.
  for (int i = 0; i < 100; ++i) log.next(event(i % 2 == 0 ? "web" : "db", "old"));
  log.next(event("db", "new"));
  log.next(event("web", "new"));
  const auto got = found.get();
  REQUIRE(got.has_value());
  CHECK(got->task_id == "web");
}

TEST_CASE("who waits for an event for ever does not give up at once") {
  EventLog log{3};
  auto found = std::async(std::launch::async, [&] {
    return log.wait_for("web", "new", std::chrono::nanoseconds::max());
  });
  CHECK(found.wait_for(50ms) == std::future_status::timeout);
  log.next(event("web", "new"));
  CHECK(found.get().has_value());
}

TEST_CASE("who waits for an event is told when none can come any more") {
  EventLog log{3};
  auto found = std::async(std::launch::async, [&] { return log.wait_for("web", "new", 20s); });
  CHECK(found.wait_for(50ms) == std::future_status::timeout);
  log.end({});
  CHECK(found.wait_for(10s) == std::future_status::ready);
  CHECK(found.get().error().code == ErrorCode::kInternal);
}

TEST_CASE("of a log that has ended what it holds is found, and nothing else waited for") {
  EventLog log{3};
  log.next(event("web", "old"));
  log.end({});
  CHECK(log.wait_for("web", "old", 20s).has_value());
  CHECK(log.wait_for("web", "new", 20s).error().code == ErrorCode::kInternal);
}

}  // namespace
}  // namespace ndc::embed
