// Actors crash here; tasks, waiters and streams do not notice.

#include <fstream>
#include <string>

#include "actors/fixture.hpp"
#include "actors/gate.hpp"
#include "model/labels.hpp"
#include "support/catch.hpp"
#include "support/places.hpp"

namespace ndc::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a crashed task actor is restarted, finds its container and keeps its waiters") {
  Fixture f;
  f.run_task();
  auto waiter = f.wait();
  f.faults->raise({runtime::Call::kSignal});
  auto signalled = f.signal("SIGHUP");
  CHECK(signalled.dropped());
  CHECK(f.runtime->count("attach nomad-web-0a1b2c3d") == 1);
  CHECK_FALSE(waiter.arrived());
  ScriptedRuntime::answer(f.runtime->attaches,
                          Expected<runtime::Attached>{runtime::StillRunning{}});
  f.kit.run();
  f.exit(5);
  REQUIRE(waiter.arrived());
  CHECK(std::get<Exited>(waiter.value()->status).code == 5);
}

TEST_CASE("past the restart limit the task ends as unknown, never with an invented code") {
  Fixture f;
  f.run_task();
  auto waiter = f.wait();
  for (int i = 0; i < 4; ++i) {
    f.faults->raise({runtime::Call::kSignal});
    f.signal("SIGHUP");
    if (f.runtime->attaches.empty()) break;
    ScriptedRuntime::answer(f.runtime->attaches,
                            Expected<runtime::Attached>{runtime::StillRunning{}});
    f.kit.run();
  }
  REQUIRE(waiter.arrived());
  CHECK(std::holds_alternative<UnknownExit>(waiter.value()->status));
  CHECK(describe(*waiter.value()).find("failed too often") != std::string::npos);

  // The container does not run on beside what Nomad starts next.
  REQUIRE(f.runtime->lists.size() == 1);
  runtime::FoundContainer found;
  found.container = {"nomad-web-0a1b2c3d", "c0ffee", {}};
  found.labels = {{kLabelTaskId, Fixture::spec().id}};
  found.running = true;
  ScriptedRuntime::answer(f.runtime->lists,
                          Expected<std::vector<runtime::FoundContainer>>{{found}});
  f.kit.run();
  CHECK(f.runtime->count("remove nomad-web-0a1b2c3d") == 1);

  // And Nomad's DestroyTask finds it gone, which is what it wants.
  auto destroyed = f.destroy(true);
  ScriptedRuntime::answer(
      f.runtime->attaches,
      Expected<runtime::Attached>{fail({.code = ErrorCode::kContainerGone, .what = "find"})});
  f.kit.run();
  REQUIRE(destroyed.arrived());
  CHECK(destroyed.value().has_value());
  CHECK(f.wait().value().error().code == ErrorCode::kTaskNotFound);
}

TEST_CASE("a task that was given up is told of and ended, but not taken up again") {
  Fixture f;
  f.run_task();
  for (int i = 0; i < 4; ++i) {
    CHECK(f.crash("task_actor") == 1);
    f.kit.run();
  }
  f.runtime->transcript.clear();
  Answer<Expected<TaskStatus>> inspected;
  act::tell(f.driver, actors::InspectTask{Fixture::spec().id, inspected.reply()});
  f.kit.run();
  REQUIRE(inspected.value().has_value());
  CHECK(inspected.value()->state == TaskState::kExited);
  CHECK(std::holds_alternative<UnknownExit>(inspected.value()->exit->status));
  CHECK(inspected.value()->attributes.at("container_id") == "c0ffee");
  CHECK(f.signal("SIGHUP").value().error().code == ErrorCode::kWrongState);
  // Whoever claims its container keeps it from the reaper.
  CHECK(f.runtime->count("attach") == 0);
  f.stop(5s);
  CHECK(f.runtime->count("attach") == 1);
}

TEST_CASE("an abandoned task's container is ended though the reaper crashes over it, or is away") {
  const bool away = GENERATE(false, true);
  Fixture f;
  f.run_task();
  const auto crash = [&](const char* actor, int times) {
    for (int i = 0; i < times; ++i) {
      CHECK(f.crash(actor) == 1);
      f.kit.run();
    }
  };
  if (away) crash("reaper_actor", 4);
  crash("task_actor", 4);
  CHECK(f.runtime->count("list containers") == (away ? 0 : 1));
  f.runtime->lists.clear();
  if (away) {
    f.kit.advance(61s, 1s);
  } else {
    crash("reaper_actor", 1);
  }
  REQUIRE(f.runtime->lists.size() == 1);
  runtime::FoundContainer found;
  found.container = {"nomad-web-0a1b2c3d", "c0ffee", {}};
  found.labels = {{kLabelTaskId, Fixture::spec().id}};
  found.running = true;
  ScriptedRuntime::answer(f.runtime->lists,
                          Expected<std::vector<runtime::FoundContainer>>{{found}});
  f.kit.run();
  CHECK(f.runtime->count("remove nomad-web-0a1b2c3d") == 1);
}

TEST_CASE("a start whose actor crashes each time is given up with the reason") {
  Fixture f;
  f.faults->raise({runtime::Call::kCheck, "", runtime::Calls::kAlways});
  auto started = f.start(Fixture::spec());
  REQUIRE(started.arrived());
  CHECK(started.value().error().message().find("failed too often") != std::string::npos);
  CHECK(f.faults->struck() == 4);  // once, and three restarts
}

TEST_CASE("a log forwarder that crashes each time fails the start instead of holding it") {
  Fixture f;
  f.faults->raise({runtime::Call::kOpenLogs, "", runtime::Calls::kAlways});
  auto started = f.start(Fixture::spec());
  f.pass_checks();
  REQUIRE(started.arrived());
  CHECK(started.value().error().message().find("log forwarder") != std::string::npos);
  CHECK(f.faults->struck() == 4);
}

TEST_CASE("a message that crashes the task actor is lost, its caller told, the others served") {
  Fixture f;
  f.run_task();
  auto stream = std::make_shared<Collected<ResourceUsage>>();
  act::tell(f.driver, actors::WatchUsage{Fixture::spec().id, 1s, stream});
  auto waiter = f.wait();
  REQUIRE(f.messages->crash_on({"task_actor", Fixture::spec().id, "SignalTask"}));
  CHECK(f.signal("SIGHUP").dropped());
  CHECK(f.runtime->attaches.size() == 1);  // one restart, and the message does not come again
  ScriptedRuntime::answer(f.runtime->attaches,
                          Expected<runtime::Attached>{runtime::StillRunning{}});
  f.kit.run();
  CHECK(f.runtime->count("open logs") == 2);
  f.runtime->samples.clear();
  f.kit.advance(2s, 100ms);
  CHECK_FALSE(f.runtime->samples.empty());  // for the stream that was open before
  CHECK_FALSE(stream->ended);
  CHECK_FALSE(waiter.arrived());
  CHECK(f.has_event("the task runs on"));
}

TEST_CASE("a crashed child restarts alone") {
  Fixture f;
  f.run_task();
  const char* child = GENERATE("stats_actor", "log_forwarder_actor");
  CHECK(f.crash(child, Fixture::spec().id) == 1);
  f.kit.run();
  CHECK(f.has_event("Restarted the task's"));
  CHECK(f.runtime->count("attach") == 0);
  CHECK(f.crash(child, Fixture::spec().id) == 1);  // the successor
}

TEST_CASE("the fourth failure within the window is one too many, a later one is not") {
  actors::RestartBudget budget{3, 60s};
  const actors::RestartBudget::Clock::time_point start{};
  for (int i = 0; i < 3; ++i) CHECK(budget.spend(start + std::chrono::seconds{i}));
  CHECK_FALSE(budget.spend(start + 59s));
  CHECK(budget.spend(start + 180s));
}

TEST_CASE("a window without an end forgets no failure") {
  actors::RestartBudget budget{1, std::chrono::seconds::max()};
  const actors::RestartBudget::Clock::time_point start{};
  CHECK(budget.spend(start));
  CHECK_FALSE(budget.spend(start + 1h));
}

TEST_CASE("what callers hold open is bounded, and a stop still gets through") {
  Fixture f;
  f.run_task();
  std::vector<Answer<Expected<void>>> open;
  while (open.size() < 256) open.push_back(f.signal("SIGHUP"));
  CHECK_FALSE(open.back().arrived());
  const auto refused = f.signal("SIGHUP");
  REQUIRE(refused.arrived());
  CHECK(refused.value().error().message().find("too many calls") != std::string::npos);
  CHECK(f.runtime->count("signal") == 256);
  CHECK_FALSE(f.stop(5s).arrived());
  CHECK(f.runtime->transcript.back() == "signal nomad-web-0a1b2c3d 15");
  ScriptedRuntime::answer(f.runtime->signals, Expected<void>{});
  CHECK_FALSE(f.signal("SIGHUP").arrived());  // there is room for one again
  std::shared_ptr<Collected<ResourceUsage>> last;
  for (int i = 0; i < 257; ++i) {
    last = std::make_shared<Collected<ResourceUsage>>();
    act::tell(f.driver, actors::WatchUsage{Fixture::spec().id, 1s, last});
  }
  f.kit.run();
  CHECK(last->error.has_value());
}

TEST_CASE("the starts that are open are bounded, and count until they are answered") {
  Fixture f;
  std::vector<Answer<Expected<actors::TaskStarted>>> answers(actors::kMaxStarts);
  const auto ask = [&](const auto& answer, std::size_t number) {
    const TaskSpec task = Fixture::spec("task" + std::to_string(number));
    act::tell(f.driver, actors::StartTask{std::make_shared<const TaskSpec>(task), answer.reply()});
  };
  for (std::size_t i = 0; i < answers.size(); ++i) ask(answers[i], i);
  f.kit.run();
  const Answer<Expected<actors::TaskStarted>> over;
  ask(over, answers.size());
  f.kit.run();
  REQUIRE(over.arrived());
  CHECK(over.value().error().recoverable());
  CHECK_FALSE(answers.front().arrived());
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{fail({.what = "check job"})});
  f.kit.run();
  CHECK(answers.front().arrived());
  const Answer<Expected<actors::TaskStarted>> next;
  ask(next, answers.size() + 1);
  f.kit.run();
  CHECK_FALSE(next.arrived());
}

TEST_CASE("the recoveries that are open are bounded, and count until they are answered") {
  Fixture f;
  std::vector<Answer<Expected<void>>> answers(actors::kMaxRecoveries);
  const auto ask = [&](const Answer<Expected<void>>& answer, std::size_t number) {
    TaskHandle handle;
    handle.task_id = "task" + std::to_string(number);
    handle.container = {"c" + std::to_string(number), "1", {}};
    handle.runtime = "scripted";
    act::tell(f.driver, actors::RecoverTask{handle.task_id, encode_handle(handle), answer.reply()});
  };
  for (std::size_t i = 0; i < answers.size(); ++i) ask(answers[i], i);
  f.kit.run();
  CHECK_FALSE(answers.front().arrived());
  const Answer<Expected<void>> over;
  ask(over, answers.size());
  f.kit.run();
  REQUIRE(over.arrived());
  CHECK(over.value().error().message().find("too many calls") != std::string::npos);
  ScriptedRuntime::answer(
      f.runtime->attaches,
      Expected<runtime::Attached>{fail({.code = ErrorCode::kContainerGone, .what = "find"})});
  f.kit.run();
  CHECK(answers.front().arrived());
  const Answer<Expected<void>> next;
  ask(next, answers.size() + 1);
  f.kit.run();
  CHECK_FALSE(next.arrived());
}

TEST_CASE("docs/embedding.md tells what callers may hold open") {
  std::ifstream file{std::string{places::docs} + "/embedding.md"};
  std::string text;
  for (std::string word; file >> word;) text += word + " ";
  const auto said = [&](auto number, const std::string& what) {
    INFO(number << what);
    CHECK(text.find(" " + std::to_string(number) + " " + what) != std::string::npos);
  };
  said(actors::kMaxStarts, "starts of all tasks together,");
  CHECK(actors::kMaxRecoveries == actors::kMaxStarts);
  said(actors::kMaxCommands, "signals, execs and inspections together");
  said(actors::kMaxSessions, "streaming execs until");
  said(actors::kMaxStops, "stops,");
  said(actors::kMaxWaiters, "waits and");
  said(actors::kMaxStreams, "usage streams;");
  said(actors::kMaxStreams, "streams each of events and of fingerprints.");
}

TEST_CASE("a streaming exec counts until its command has ended, not until it has begun") {
  struct Client final : ExecClient {
    void output(OutputStream, std::string, std::function<void()> taken) override { taken(); }
    void finished(Expected<ExitStatus>) override { ended = true; }
    bool ended = false;
  };
  Fixture f;
  f.run_task();
  const auto client = std::make_shared<Client>();
  const auto refused = [&] {
    Answer<Expected<std::shared_ptr<ExecSession>>> answer;
    act::tell(f.driver, actors::ExecTaskStreaming{Fixture::spec().id, {}, client, answer.reply()});
    f.kit.run();
    if (!f.runtime->execs.empty()) {
      ScriptedRuntime::answer(f.runtime->execs, Expected<std::shared_ptr<ExecSession>>{nullptr});
    }
    REQUIRE(answer.arrived());
    return !answer.value().has_value();
  };
  for (int i = 0; i < 256; ++i) REQUIRE_FALSE(refused());
  CHECK(refused());
  CHECK(f.runtime->count("exec") == 256);
  f.runtime->exec_clients.front()->finished(ExitStatus{Exited{0}});
  CHECK(client->ended);
  CHECK_FALSE(refused());
  CHECK(refused());
  f.runtime->exec_clients.pop_back();  // its runtime lost it
  CHECK_FALSE(refused());
}

TEST_CASE("one task's crash does not touch another") {
  Fixture f;
  f.run_task();
  auto other = Fixture::spec("db");
  f.run_task(other);
  const auto other_exit = f.runtime->exits.back();
  auto waiter = f.wait(other.id);
  f.faults->raise({runtime::Call::kSignal});
  f.signal("SIGHUP");
  CHECK(f.runtime->count("attach nomad-web-0a1b2c3d") == 1);
  CHECK(f.runtime->count("attach") == 1);
  other_exit(TaskExit{Exited{1}, false, {}});
  f.kit.run();
  CHECK(waiter.arrived());
}

TEST_CASE("waiting tasks share one pull of an image and each tells its user") {
  Fixture f;
  auto one = f.start(Fixture::spec("one"));
  auto two = f.start(Fixture::spec("two"));
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  ScriptedRuntime::answer(f.runtime->finds, Expected<std::optional<runtime::Image>>{std::nullopt});
  f.kit.run();
  CHECK(f.runtime->count("find") == 1);
  CHECK(f.runtime->count("pull") == 1);
  ScriptedRuntime::answer(
      f.runtime->pulls, Expected<runtime::Image>{
                            fail({.code = ErrorCode::kRegistryUnreachable, .what = "pull image"})});
  f.kit.run();
  CHECK(one.value().error().recoverable());
  CHECK(two.value().error().recoverable());
  CHECK(f.events->values.size() == 2);
}

TEST_CASE("an image is looked for at each start: its name may mean another one by now") {
  Fixture f;
  f.run_task();
  auto again = f.start(Fixture::spec("again"));
  ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
  f.kit.run();
  CHECK(f.runtime->count("find busybox") == 2);
  ScriptedRuntime::answer(f.runtime->finds, Expected<std::optional<runtime::Image>>{
                                                runtime::Image{"busybox", "sha256:2", {}}});
  f.kit.run();
  CHECK(f.runtime->start_requests.back().image.id == "sha256:2");
}

namespace {

// A start that has come to its image, which is `found` or not.
struct Pulling {
  Fixture f;

  Answer<Expected<actors::TaskStarted>> start(const std::string& name, bool found,
                                              Value::Map settings) {
    TaskSpec spec = Fixture::spec(name);
    auto& config = std::get<Value::Map>(spec.config.data);
    for (auto& [key, value] : settings) config[key] = std::move(value);
    auto answer = f.start(spec);
    ScriptedRuntime::answer(f.runtime->checks, Expected<void>{});
    f.kit.run();
    if (f.runtime->finds.empty()) return answer;  // pull_policy = "always"
    std::optional<runtime::Image> image;
    if (found) image = runtime::Image{"busybox", "sha256:1", {}};
    ScriptedRuntime::answer(f.runtime->finds, Expected<std::optional<runtime::Image>>{image});
    f.kit.run();
    return answer;
  }
  static Value::Map waits(const char* time) {
    return {{"image_pull_timeout", Value{std::string{time}}}};
  }
  void time_out() {
    ScriptedRuntime::answer(
        f.runtime->pulls,
        Expected<runtime::Image>{fail({.code = ErrorCode::kTimeout, .what = "pull"})});
    f.kit.run();
  }
};

}  // namespace

TEST_CASE("a task whose image is there does not wait for another's pull of the same") {
  Pulling p;
  auto fresh = p.start("fresh", true, {{"force_pull", Value{true}}});
  CHECK(p.f.runtime->count("pull") == 1);
  auto local = p.start("local", true, {});
  CHECK(p.f.runtime->count("start") == 1);
  auto never = p.start("never", false, {{"pull_policy", Value{std::string{"never"}}}});
  REQUIRE(never.arrived());
  CHECK(never.value().error().code == ErrorCode::kImageNotFound);
  CHECK_FALSE(fresh.arrived());
  CHECK_FALSE(local.arrived());
}

TEST_CASE("each task waits for a pull that it shares as long as it was told to") {
  Pulling p;
  auto first = p.start("first", false, Pulling::waits("60s"));
  auto hasty = p.start("hasty", false, Pulling::waits("10s"));
  auto patient = p.start("patient", false, Pulling::waits("200s"));
  CHECK(p.f.runtime->count("pull") == 1);
  p.f.kit.advance(10s, 1s);
  REQUIRE(hasty.arrived());
  CHECK(hasty.value().error().code == ErrorCode::kTimeout);
  CHECK(hasty.value().error().message().find("10s") != std::string::npos);
  CHECK_FALSE(first.arrived());
  p.f.kit.advance(50s, 1s);
  p.time_out();
  REQUIRE(first.arrived());
  CHECK(first.value().error().code == ErrorCode::kTimeout);
  CHECK_FALSE(patient.arrived());
  CHECK(p.f.runtime->count("pull") == 2);  // once more, for what is left of its time
  CHECK(p.f.runtime->pull_requests.back().timeout == 140s);
  p.f.kit.advance(140s, 10s);
  p.time_out();
  REQUIRE(patient.arrived());
}

TEST_CASE("a pull that stood still is not tried again for those with more time") {
  Pulling p;
  auto first = p.start("first", false, Pulling::waits("60s"));
  auto patient = p.start("patient", false, Pulling::waits("200s"));
  p.f.kit.advance(20s, 1s);
  p.time_out();
  CHECK(first.arrived());
  CHECK(patient.arrived());
  CHECK(p.f.runtime->count("pull") == 1);
}

TEST_CASE("usage is sampled once for all tasks, only while somebody watches") {
  Fixture f;
  f.run_task();
  f.kit.advance(3s, 100ms);
  CHECK(f.runtime->count("sample") == 0);
  auto stream = std::make_shared<Collected<ResourceUsage>>();
  act::tell(f.driver, actors::WatchUsage{Fixture::spec().id, 1s, stream});
  f.kit.advance(100ms, 10ms);
  REQUIRE(f.runtime->samples.size() == 1);
  UsageSample sample;
  sample.taken = std::chrono::steady_clock::time_point{10s};
  sample.cpu_total = 1s;
  const auto give = [&] {
    ScriptedRuntime::answer(f.runtime->samples, std::vector<runtime::UsageReading>{
                                                    {f.runtime->sampled.front(), sample}});
    f.kit.run();
  };
  give();
  sample.taken += 1s;
  sample.cpu_total = 1s + 500ms;
  f.kit.advance(1s, 100ms);
  give();
  REQUIRE(stream->values.size() == 2);
  CHECK(stream->values[0].cpu_percent == 0.0);
  CHECK(stream->values[1].cpu_percent == 50.0);
  f.exit(0);
  CHECK(stream->ended);
  CHECK_FALSE(stream->error.has_value());
}

TEST_CASE("a fingerprint is told at once, on change, and never twice") {
  Fixture f;
  Answer<Expected<void>> configured;
  act::tell(f.driver, actors::SetConfig{{}, {}, configured.reply()});
  f.kit.run();
  CHECK(f.runtime->transcript.empty());  // validation touches nothing
  auto stream = std::make_shared<Collected<Fingerprint>>();
  act::tell(f.driver, actors::WatchFingerprint{stream});
  f.kit.run();
  ScriptedRuntime::answer(f.runtime->probes, Fingerprint{Health::kHealthy, "Healthy", {}});
  f.kit.run();
  REQUIRE(stream->values.size() == 1);
  f.kit.advance(31s, 1s);
  ScriptedRuntime::answer(f.runtime->probes, Fingerprint{Health::kHealthy, "Healthy", {}});
  f.kit.advance(31s, 1s);
  CHECK(stream->values.size() == 1);
  const auto bad = [&](const char* why) {
    f.kit.advance(6s, 100ms);
    REQUIRE(f.runtime->probes.size() == 1);
    // What was there once is told as out of order, not as unknown.
    ScriptedRuntime::answer(f.runtime->probes, Fingerprint{Health::kUndetected, why, {}});
    f.kit.run();
  };
  bad("podman is gone");
  CHECK(stream->values.size() == 1);  // one bad answer is no news
  bad("podman is gone");
  REQUIRE(stream->values.size() == 2);
  CHECK(stream->values[1].health == Health::kUnhealthy);
  // Without that the jobs which came meanwhile would not be looked at again.
  CHECK(stream->values[0].attributes.at("driver.container.healthy") == AttributeValue{true});
  CHECK(stream->values[1].attributes.at("driver.container.healthy") == AttributeValue{false});
  bad("error 17");  // a text that is new each time is no news either
  bad("error 18");
  CHECK(stream->values.size() == 2);
  bad("error 18");
  CHECK(stream->values.size() == 3);
}

TEST_CASE(
    "a doubt makes the fingerprint look at once, and health comes back with one good answer") {
  Fixture f;
  Answer<Expected<void>> configured;
  act::tell(f.driver, actors::SetConfig{{}, {}, configured.reply()});
  auto stream = std::make_shared<Collected<Fingerprint>>();
  act::tell(f.driver, actors::WatchFingerprint{stream});
  f.kit.run();
  const auto answer = [&](Health health, const char* text) {
    REQUIRE(f.runtime->probes.size() == 1);
    ScriptedRuntime::answer(f.runtime->probes, Fingerprint{health, text, {}});
    f.kit.run();
  };
  answer(Health::kHealthy, "Healthy");
  REQUIRE(f.runtime->doubt);
  f.runtime->doubt();
  f.kit.advance(100ms);
  answer(Health::kUnhealthy, "gone");
  f.kit.advance(1100ms, 100ms);
  answer(Health::kUnhealthy, "gone");
  REQUIRE(stream->values.size() == 2);
  f.runtime->doubt();
  f.kit.advance(1100ms, 100ms);
  answer(Health::kHealthy, "Healthy");
  REQUIRE(stream->values.size() == 3);
  CHECK(stream->values[2].health == Health::kHealthy);
}

TEST_CASE("a recovery is answered though the runtime is silent, and the real exit still comes") {
  Fixture f;
  auto started = f.run_task();
  const std::string handle = started.value()->driver_state;
  Fixture g;
  Answer<Expected<void>> recovered;
  act::tell(g.driver, actors::RecoverTask{Fixture::spec().id, handle, recovered.reply()});
  g.kit.advance(1s, 100ms);
  CHECK_FALSE(recovered.arrived());
  g.kit.advance(1500ms, 100ms);
  REQUIRE(recovered.arrived());
  CHECK(recovered.value().has_value());
  auto waiter = g.wait();
  ScriptedRuntime::answer(g.runtime->attaches,
                          Expected<runtime::Attached>{TaskExit{Exited{7}, false, {}}});
  g.kit.run();
  REQUIRE(waiter.arrived());
  CHECK(std::get<Exited>(waiter.value()->status).code == 7);
}

TEST_CASE("a runtime that cannot be asked is asked again, and a failed question is no exit") {
  Fixture f;
  const std::string handle = f.run_task().value()->driver_state;
  Fixture g;
  Answer<Expected<void>> recovered;
  act::tell(g.driver, actors::RecoverTask{Fixture::spec().id, handle, recovered.reply()});
  g.kit.run();
  const auto refuse = [&](ErrorCode code) {
    REQUIRE(g.runtime->attaches.size() == 1);
    ScriptedRuntime::answer(
        g.runtime->attaches,
        Expected<runtime::Attached>{fail({.code = code, .what = "find container"})});
    g.kit.run();
  };
  refuse(ErrorCode::kInternal);  // whatever it is, it says nothing about the task
  g.kit.advance(2500ms, 100ms);
  REQUIRE(recovered.arrived());
  CHECK(recovered.value().has_value());
  auto waiter = g.wait();
  refuse(ErrorCode::kTimeout);
  g.kit.advance(3s, 100ms);
  CHECK_FALSE(waiter.arrived());
  CHECK(g.has_event("Degraded"));
  refuse(ErrorCode::kContainerGone);
  REQUIRE(waiter.arrived());
  CHECK(std::holds_alternative<UnknownExit>(waiter.value()->status));
  CHECK(g.runtime->count("remove") == 1);
}

TEST_CASE("a stop during a recovery waits for it") {
  Fixture f;
  const std::string handle = f.run_task().value()->driver_state;
  Fixture g;
  Answer<Expected<void>> recovered;
  act::tell(g.driver, actors::RecoverTask{Fixture::spec().id, handle, recovered.reply()});
  g.kit.run();
  auto stopped = g.stop(5s);
  CHECK_FALSE(stopped.arrived());
  ScriptedRuntime::answer(g.runtime->attaches,
                          Expected<runtime::Attached>{runtime::StillRunning{}});
  g.kit.run();
  CHECK(g.runtime->count("signal") == 1);
  g.exit(143);
  REQUIRE(stopped.arrived());
  CHECK(stopped.value().has_value());
}

TEST_CASE("a runtime that does not answer is reported as unhealthy within a second") {
  Fixture f;
  Answer<Expected<void>> configured;
  act::tell(f.driver, actors::SetConfig{{}, {}, configured.reply()});
  auto stream = std::make_shared<Collected<Fingerprint>>();
  act::tell(f.driver, actors::WatchFingerprint{stream});
  f.kit.advance(1s, 100ms);
  REQUIRE(stream->values.size() == 1);
  CHECK(stream->values[0].health == Health::kUnhealthy);
}

}  // namespace
}  // namespace ndc::test
