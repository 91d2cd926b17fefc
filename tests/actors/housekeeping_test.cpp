// What is removed although nobody asked: dangling containers, unused images.

#include "actors/fixture.hpp"
#include "model/labels.hpp"
#include "support/catch.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kNode = "node-1";

void configure(Fixture& f, const PluginConfig& config) {
  Answer<Expected<void>> configured;
  act::tell(f.driver, actors::SetConfig{config, {}, configured.reply()});
  f.kit.run();
}

TaskSpec spec_on_node(const std::string& task = "web") {
  TaskSpec spec = Fixture::spec(task);
  spec.node_id = kNode;
  return spec;
}

runtime::FoundContainer found(const std::string& task_id, const std::string& node = kNode,
                              std::chrono::minutes age = 60min, bool running = true) {
  runtime::FoundContainer out;
  out.container = {"nomad-" + task_id, "id-" + task_id, {}};
  out.labels = {{kLabelTaskId, task_id}, {kLabelNodeId, node}, {kLabelAllocId, "a"}};
  out.running = running;
  out.created_at = std::chrono::system_clock::now() - age;
  return out;
}

void list(Fixture& f, std::vector<runtime::FoundContainer> containers) {
  REQUIRE(f.runtime->lists.size() == 1);
  ScriptedRuntime::answer(f.runtime->lists,
                          Expected<std::vector<runtime::FoundContainer>>{std::move(containers)});
  f.kit.run();
}

void recover_running(Fixture& f, const std::string& task_id, const std::string& handle) {
  Answer<Expected<void>> recovered;
  act::tell(f.driver, actors::RecoverTask{task_id, handle, recovered.reply()});
  f.kit.run();
  ScriptedRuntime::answer(f.runtime->attaches,
                          Expected<runtime::Attached>{runtime::StillRunning{}});
  f.kit.run();
}

TEST_CASE("only old containers of this node that no task owns are removed") {
  Fixture f;
  configure(f, {});
  const TaskSpec spec = spec_on_node();
  f.run_task(spec);
  f.kit.advance(4min, 1s);
  CHECK(f.runtime->lists.empty());  // not before a whole period has passed
  f.kit.advance(2min, 1s);
  list(f, {found("lost"), found("stopped", kNode, 60min, false), found(spec.id),
           found("other", "node-2"), found("young", kNode, 1min)});
  CHECK(f.runtime->count("remove nomad-") == 2);
  CHECK(f.runtime->count("remove nomad-lost") == 1);
  CHECK(f.runtime->count("remove nomad-stopped") == 1);
}

TEST_CASE("files whose container has gone are removed by the same rules, kept containers or not") {
  PluginConfig config;
  config.gc.container = false;
  config.gc.dangling_containers.dry_run = GENERATE(false, true);
  Fixture f;
  configure(f, config);
  f.run_task(spec_on_node());
  f.kit.advance(6min, 1s);
  std::vector<runtime::FoundContainer> all{
      found("lost", kNode, 60min, false), found("files", kNode, 60min, false),
      found("others", "node-2", 60min, false), found("young", kNode, 1min, false)};
  for (std::size_t i = 1; i < all.size(); ++i) all[i].container.id.clear();
  list(f, all);
  const int removed = config.gc.dangling_containers.dry_run ? 0 : 1;
  CHECK(f.runtime->count("remove nomad-") == removed);
  CHECK(f.runtime->count("remove nomad-files") == removed);
}

TEST_CASE("what a removal that was cut off has left is nobody's, and removed after the grace") {
  PluginConfig config;
  config.gc.dangling_containers.dry_run = GENERATE(false, true);
  Fixture f;
  configure(f, config);
  f.run_task(spec_on_node());
  f.kit.advance(6min, 1s);
  std::vector<runtime::FoundContainer> all{found("rest", kNode, 60min, false),
                                           found("young", kNode, 1min, false),
                                           found("unlabelled", kNode, 60min, false)};
  for (runtime::FoundContainer& one : all) one.labels.clear();
  for (std::size_t i = 0; i < 2; ++i) all[i].container.id.clear();
  list(f, all);
  const int removed = config.gc.dangling_containers.dry_run ? 0 : 1;
  CHECK(f.runtime->count("remove nomad-") == removed);
  CHECK(f.runtime->count("remove nomad-rest") == removed);
}

// A clock that was set back gives containers an age in the future. Else they would stay until it
// has caught up, which can be years.
TEST_CASE("a container of unknown age is removed after the grace since it was first seen") {
  const bool told = GENERATE(false, true);
  PluginConfig config;
  config.gc.dangling_containers.creation_grace = 0ns;
  Fixture f;
  configure(f, config);
  f.run_task(spec_on_node());
  auto lost = found("lost", kNode, -60min);
  if (!told) lost.created_at.reset();
  f.kit.advance(6min, 1s);
  list(f, {lost});
  CHECK(f.runtime->count("remove nomad-lost") == 1);

  config.gc.dangling_containers.creation_grace = 1h;
  Fixture g;
  configure(g, config);
  g.run_task(spec_on_node());
  for (int look = 0; look < 3; ++look) {
    g.kit.advance(5min, 1s);
    list(g, {lost});
  }
  CHECK(g.runtime->count("remove") == 0);
}

TEST_CASE("a container that is being recovered is its task's, whatever the reaper sees") {
  const TaskSpec back = spec_on_node("back");
  Fixture f;
  const std::string handle = f.run_task(back).value()->driver_state;
  Fixture g;
  configure(g, {});
  g.run_task(spec_on_node());
  Answer<Expected<void>> recovered;
  act::tell(g.driver, actors::RecoverTask{back.id, handle, recovered.reply()});
  g.kit.advance(6min, 1s);
  REQUIRE(g.runtime->attaches.size() == 1);  // the runtime has not answered
  list(g, {found(back.id), found("lost")});
  CHECK(g.runtime->count("remove nomad-") == 1);
  CHECK(g.runtime->count("remove nomad-lost") == 1);
}

TEST_CASE(
    "what an earlier attempt of a task left is for the start of the next, not for the reaper") {
  Fixture f;
  configure(f, {});
  const TaskSpec spec = spec_on_node();
  f.start(spec);  // under way
  f.kit.advance(6min, 1s);
  const std::string task = spec.id.substr(0, spec.id.rfind('/'));
  list(f, {found(task + "/00000000"), found(task + "-2/00000000")});
  CHECK(f.runtime->count("remove nomad-" + task + "/") == 0);
  CHECK(f.runtime->count("remove nomad-" + task + "-2/") == 1);
}

TEST_CASE("a reaper that failed is followed by one that looks after another period") {
  Fixture f;
  configure(f, {});
  f.run_task(spec_on_node());
  f.kit.advance(6min, 1s);
  REQUIRE(f.runtime->lists.size() == 1);
  REQUIRE(f.crash("reaper_actor") == 1);
  f.kit.run();
  list(f, {found("lost")});  // to the one that failed
  CHECK(f.runtime->count("remove nomad-") == 0);
  f.kit.advance(4min, 1s);
  CHECK(f.runtime->lists.empty());
  f.kit.advance(2min, 1s);
  list(f, {found("lost"), found("young", kNode, 1min)});
  CHECK(f.runtime->count("remove nomad-") == 1);
  CHECK(f.runtime->count("remove nomad-lost") == 1);
  CHECK(f.metrics->restarts == std::vector<std::string>{"reaper"});
}

TEST_CASE("before a task has told which node this is nothing is removed") {
  Fixture f;
  configure(f, {});
  f.kit.advance(6min, 1s);
  list(f, {found("lost")});
  CHECK(f.runtime->count("remove") == 0);
}

TEST_CASE("a dry run, and a reaper that is off, remove nothing") {
  PluginConfig config;
  config.gc.dangling_containers.dry_run = true;
  Fixture f;
  configure(f, config);
  f.run_task(spec_on_node());
  f.kit.advance(6min, 1s);
  list(f, {found("lost")});
  CHECK(f.runtime->count("remove") == 0);

  config.gc.dangling_containers.enabled = false;
  Fixture g;
  configure(g, config);
  g.run_task(spec_on_node());
  g.kit.advance(6min, 1s);
  CHECK(g.runtime->lists.empty());
}

TEST_CASE("with gc.container off an ended container is left to be looked at") {
  PluginConfig config;
  config.gc.container = false;
  Fixture f;
  configure(f, config);
  f.run_task(spec_on_node());
  f.kit.advance(6min, 1s);
  auto failed = found("failed", kNode, 60min, false);
  failed.start_failed = true;  // nothing to be looked at
  list(f, {found("ended", kNode, 60min, false), found("running"), failed});
  CHECK(f.runtime->count("remove nomad-ended") == 0);
  CHECK(f.runtime->count("remove nomad-running") == 1);
  CHECK(f.runtime->count("remove nomad-failed") == 1);
}

TEST_CASE("an image goes after the delay when the last task that used it is destroyed") {
  PluginConfig config;
  config.gc.image = true;
  Fixture f;
  configure(f, config);
  f.run_task();
  const auto end = [&] {
    f.exit(0);
    f.destroy(true);
    ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
    f.kit.run();
  };
  end();
  f.kit.advance(2min, 1s);
  f.run_task();  // used again: the delay begins anew when this one ends
  f.kit.advance(2min, 1s);
  CHECK(f.runtime->count("remove image") == 0);
  end();
  f.kit.advance(4min, 1s);
  CHECK(f.runtime->count("remove image busybox") == 1);
}

TEST_CASE("the image of a task that could not be started goes after the delay, too") {
  PluginConfig config;
  config.gc.image = true;
  Fixture f;
  configure(f, config);
  const auto answer = f.start(Fixture::spec());
  f.pass_checks();
  ScriptedRuntime::answer(f.runtime->starts,
                          Expected<runtime::StartedContainer>{
                              fail({.code = ErrorCode::kStartFailed, .what = "start container"})});
  f.kit.run();
  REQUIRE_FALSE(answer.value().has_value());
  CHECK(f.runtime->count("remove image") == 0);
  f.kit.advance(4min, 1s);
  CHECK(f.runtime->count("remove image busybox") == 1);
}

TEST_CASE("a recovered task's image stays while it uses it") {
  PluginConfig config;
  config.gc.image = true;
  const TaskSpec back = spec_on_node("back");
  Fixture f;
  const std::string handle = f.run_task(back).value()->driver_state;
  Fixture g;  // as after a restart
  configure(g, config);
  recover_running(g, back.id, handle);
  g.run_task();  // of the same image
  g.exit(0);
  g.destroy(true);
  ScriptedRuntime::answer(g.runtime->removes, Expected<void>{});
  g.kit.advance(10min, 1s);
  CHECK(g.runtime->count("remove image") == 0);

  g.runtime->exits.front()(TaskExit{Exited{0}, false, {}});
  g.kit.run();
  Answer<Expected<void>> destroyed;
  act::tell(g.driver, actors::DestroyTask{back.id, true, destroyed.reply()});
  g.kit.run();
  ScriptedRuntime::answer(g.runtime->removes, Expected<void>{});
  g.kit.advance(4min, 1s);
  CHECK(g.runtime->count("remove image busybox") == 1);
}

TEST_CASE("an image that waits for its removal, or whose task ended unseen, goes after a restart") {
  PluginConfig config;
  config.gc.image = true;
  const TaskSpec back = spec_on_node("back");
  Fixture f;
  configure(f, config);
  const std::string handle = f.run_task(back).value()->driver_state;
  CHECK(f.runtime->references == std::set<std::string>{"busybox"});
  Fixture g;
  g.runtime->references = {"busybox", "redis:7"};
  configure(g, config);
  recover_running(g, back.id, handle);
  g.kit.advance(4min, 1s);
  CHECK(g.runtime->count("remove image") == 1);
  CHECK(g.runtime->count("remove image redis:7") == 1);
  // Should the plugin end now, it is removed by the next.
  CHECK(g.runtime->references == std::set<std::string>{"busybox", "redis:7"});
  ScriptedRuntime::answer(g.runtime->removes, Expected<void>{});
  g.kit.run();
  CHECK(g.runtime->references == std::set<std::string>{"busybox"});
}

TEST_CASE("without gc.image no image is removed") {
  Fixture f;
  configure(f, {});
  f.run_task();
  f.exit(0);
  f.destroy(true);
  ScriptedRuntime::answer(f.runtime->removes, Expected<void>{});
  f.kit.advance(10min, 1s);
  CHECK(f.runtime->count("remove image") == 0);
}

// Its actors fail at whatever they are asked for.
void give_up(Fixture& f, const std::string& task_id) {
  REQUIRE(f.messages->crash_on({"task_actor", task_id, "InspectTask"}, 4));
  Answer<Expected<TaskStatus>> answer;
  for (int i = 0; i < 4; ++i) {
    act::tell(f.driver, actors::InspectTask{task_id, answer.reply()});
    f.kit.run();
  }
  CHECK(f.has_event("failed"));
}

TEST_CASE("the container of a task that was given up is removed until that has worked") {
  Fixture f;
  configure(f, {});
  const TaskSpec spec = spec_on_node();
  f.run_task(spec);
  give_up(f, spec.id);
  CHECK(f.runtime->count("disown nomad-web-0a1b2c3d") == 1);
  for (int tries = 1; tries <= 2; ++tries) {
    list(f, {found(spec.id)});
    CHECK(f.runtime->count("remove nomad-" + spec.id) == tries);
    ScriptedRuntime::answer(
        f.runtime->removes,
        tries == 2 ? Expected<void>{} : Expected<void>{fail({.code = ErrorCode::kTimeout})});
    f.kit.run();
    CHECK(f.runtime->lists.empty());
    f.kit.advance(11s, 1s);
  }
  CHECK(f.runtime->lists.empty());
}

TEST_CASE(
    "an engine that cannot be asked for a given up task's container is not asked more and more") {
  Fixture f;
  PluginConfig config;
  config.gc.dangling_containers.period = 5s;
  configure(f, config);
  const TaskSpec spec = spec_on_node();
  f.run_task(spec);
  give_up(f, spec.id);
  int asked = 0;
  for (int second = 0; second < 60; ++second) {
    for (; !f.runtime->lists.empty(); ++asked) {
      ScriptedRuntime::answer(f.runtime->lists, Expected<std::vector<runtime::FoundContainer>>{
                                                    fail({.code = ErrorCode::kTimeout})});
    }
    f.kit.advance(1s, 1s);
  }
  CHECK(asked >= 12);
  CHECK(asked <= 12 + 6 + 2);  // each period, each ten seconds, and at the two ends
}

TEST_CASE("a list from before a task was given up does not tell that it has no container") {
  Fixture f;
  configure(f, {});
  const TaskSpec spec = spec_on_node();
  f.run_task(spec);
  f.kit.advance(6min, 1s);
  REQUIRE(f.runtime->lists.size() == 1);
  give_up(f, spec.id);
  REQUIRE(f.runtime->lists.size() == 2);
  for (const auto& containers : {std::vector<runtime::FoundContainer>{}, {found(spec.id)}}) {
    ScriptedRuntime::answer(f.runtime->lists,
                            Expected<std::vector<runtime::FoundContainer>>{containers});
    f.kit.run();
  }
  CHECK(f.runtime->count("remove nomad-" + spec.id) == 1);
}

}  // namespace
}  // namespace ndc::test
