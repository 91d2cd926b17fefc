// What faults at the message queue can name: every message and actor that they can strike, and
// nothing that they never would.

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "actors/fixture.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;
using actors::kActorNames;
using actors::kMessageNames;
using Block = caf::id_block::ndc_actors;
using Names = std::set<std::string_view>;

// What only act::tell_after sends. Were one of them told as well, it would not compile.
const Names kTimers{"RequestLostImage", "ReopenLogs", "RecoverTimer", "Reattach",
                    "StopTimer",        "DrainTimer", "ImageUnused",  "PullTick",
                    "PullWaitOver",     "LookAgain",  "Tick",         "FirstAnswerDue",
                    "RestartHelper"};

template <std::size_t... I>
Names names_of_block(std::index_sequence<I...>) {
  return {act::message_name<typename caf::type_by_id<Block::begin + I>::type>()...};
}

TEST_CASE("every message but a timer's is in the table of those that faults strike, and no other") {
  Names all{kMessageNames.begin(), kMessageNames.end()};
  CHECK(all.size() == kMessageNames.size());
  for (const auto timer : kTimers) CHECK(all.insert(timer).second);
  all.insert("Crash");  // which is a fault
  CHECK(all == names_of_block(std::make_index_sequence<Block::end - Block::begin>{}));
}

TEST_CASE("every actor of the table is there while a task runs, and can be crashed") {
  Fixture f;
  f.run_task();
  for (const auto name : kActorNames) {
    INFO(name);
    if (name != "driver_actor") CHECK(f.crash(std::string{name}) == 1);
  }
  f.kit.run();
  CHECK(f.crash("driver_actor") == 1);
}

TEST_CASE("a fault at what does not exist is refused, with the names of what does") {
  actors::MessageFaults faults;
  const auto refuses = [](const auto& set, const std::string& wrong, const std::string& right) {
    REQUIRE_FALSE(set.has_value());
    CHECK(set.error().code == ErrorCode::kInvalidConfig);
    CHECK(set.error().message().find(wrong) != std::string::npos);
    CHECK(set.error().message().find(right) != std::string::npos);
  };
  refuses(faults.drop({"task_actor", "", "StopTsk"}), "StopTsk", "StopTask");
  refuses(faults.delay({"", "", "ndc::actors::StopTask"}, 1s), "ndc::actors::StopTask", "StopTask");
  refuses(faults.crash_on({"task_actr", "", "StopTask"}), "task_actr", "task_actor");
  refuses(faults.drop({"task_actor", "", "StopTimer"}), "StopTimer", "StopTask");
  refuses(faults.crash("TaskActor"), "TaskActor", "task_actor");
  using Action = actors::MessageFaults::Verdict::Action;
  CHECK(faults.judge("task_actor", "", "StopTask").action == Action::kDeliver);
  CHECK(faults.struck() == 0);
  CHECK(faults.drop({}));  // what is empty matches everything
  CHECK(faults.judge("task_actor", "", "StopTask").action == Action::kDrop);
}

}  // namespace
}  // namespace ndc::test
