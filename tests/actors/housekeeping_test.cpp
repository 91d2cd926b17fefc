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

// Else it would stay until the clock has caught up, which can be years.
TEST_CASE("a container that was made before the clock was set back is removed at the second look") {
  Fixture f;
  configure(f, {});
  f.run_task(spec_on_node());
  f.kit.advance(6min, 1s);
  list(f, {found("lost", kNode, -60min)});
  CHECK(f.runtime->count("remove nomad-") == 0);
  f.kit.advance(6min, 1s);
  list(f, {found("lost", kNode, -60min)});
  CHECK(f.runtime->count("remove nomad-lost") == 1);
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
  list(f, {found("ended", kNode, 60min, false), found("running")});
  CHECK(f.runtime->count("remove nomad-ended") == 0);
  CHECK(f.runtime->count("remove nomad-running") == 1);
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
  f.start(Fixture::spec());
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  CHECK(f.runtime->count("find busybox") == 2);  // what was removed is not thought to be there
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

}  // namespace
}  // namespace ndc::test
