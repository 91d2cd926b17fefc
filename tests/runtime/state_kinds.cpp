#include "runtime/state_kinds.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>

#include "model/labels.hpp"
#include "model/task_handle.hpp"
#include "runtime/apple_login_mark.hpp"
#include "runtime/kept_references.hpp"
#include "runtime/log_position.hpp"
#include "runtime/log_pump.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/state_leftovers.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::test {

using namespace ndc::runtime;

std::string told(const ExitRecord& record) {
  return std::to_string(static_cast<int>(record.kind)) + " " + std::to_string(record.value) + " " +
         std::to_string(record.at_ms) + " " + record.stderr_tail;
}

namespace {

Kind exit_record(const std::string& state) {
  const ExitRecord record{ExitRecord::Kind::kExited, 137, 1714557600123, "Error: oops\n"};
  Kind out;
  out.name = "exit record";
  out.path = state + "/" + kMonitorExit;
  out.whole = exit_record_text(record);
  out.good = told(record);
  out.read = [state]() -> Seen {
    const RecordLook look = look_for_exit_record(state);
    CHECK(look.known);
    CHECK(look.damaged == !look.record);  // the exit is unknown then, and says why
    if (!look.record) return std::nullopt;
    return told(*look.record);
  };
  const std::string version = "exit-record 1";
  out.others = {{out.whole.substr(0, out.whole.find("\nsum ")), out.good},
                {out.whole + "more 1\n", out.good},
                {"exit-record 2" + out.whole.substr(version.size()), std::nullopt}};
  return out;
}

Kind spool(const std::string& state) {
  Kind out;
  out.name = "spool";
  out.path = state + "/" + kMonitorSpoolOut;
  {
    Spool begun{out.path.c_str()};
    REQUIRE(begun.append("one\ntwo\n", 8));
    begun.consume(4);
  }
  out.whole = contents(out.path);
  out.good = "two\n";
  out.read = [state, path = out.path]() -> Seen {
    if (Spool::damaged(path.c_str())) {
      CHECK(damaged_spools(state) == kMonitorSpoolOut);  // the task's user is told
      CHECK(spooled(state) == 0);
      return std::nullopt;
    }
    Spool spool{path.c_str()};
    REQUIRE(spool.restore());
    char bytes[64];
    std::string text{bytes, spool.peek(bytes, sizeof bytes)};
    CHECK(spooled(state) == text.size());
    return text;
  };
  // What a power cut took off the end is gone. The bytes themselves are the task's, and repeated
  // rather than skipped.
  out.of_cut = [good = out.good](const std::string& value) { return good.starts_with(value); };
  out.of_damaged = [size = out.good.size()](const std::string& value) {
    return value.size() >= size;
  };
  std::string newer = out.whole;
  newer[newer.find('1')] = '2';
  out.others = {{newer, std::nullopt}};
  return out;
}

// What a pump that begins now delivers, to the log's end.
Seen delivered(EventLoop& loop, const std::string& log) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const UniqueFd out{ends[0]};
  auto sink = std::make_shared<UniqueFd>(ends[1]);
  for (const int end : ends) {
    REQUIRE(::fcntl(end, F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(::fcntl(end, F_SETFD, FD_CLOEXEC) == 0);
  }
  const Awaited<bool> drained;
  const Awaited<std::string> failed;
  loop.post([&loop, log, sink = std::move(sink), drained, failed] {
    const auto pump = std::make_shared<LogPump>(loop);
    pump->follow(log, sink, [failed](const Error& error) { failed.set(error.message()); });
    pump->finish([drained] { drained.set(true); });
  });
  drained.get();
  if (failed.is_set()) {
    CHECK(contains(failed.get(), log + ".delivered"));  // as an event of the task
    return std::nullopt;
  }
  char bytes[256];
  const ssize_t size = ::read(out.get(), bytes, sizeof bytes);
  return std::string{bytes, size > 0 ? static_cast<std::size_t>(size) : 0};
}

Kind log_position(const std::string& state, EventLoop& loop) {
  const std::string log = state + "/ctr.log";
  const auto record = [](const std::string& text) {
    return "2024-05-01T10:00:00.123456789+00:00 stdout F " + text + "\n";
  };
  put(log, record("one") + record("two") + record("three"));
  struct stat info {};
  REQUIRE(::stat(log.c_str(), &info) == 0);
  Kind out;
  out.name = "delivered position";
  out.path = log + ".delivered";
  out.whole = log_position_text({static_cast<std::uint64_t>(info.st_ino), record("one").size(), 0});
  out.good = "two\nthree\n";
  out.read = [log, &loop] { return delivered(loop, log); };
  // From the start again: what is repeated is not lost.
  const std::string all = "one\n" + out.good;
  out.of_cut = out.of_damaged = [all](const std::string& value) { return value == all; };
  out.others = {{out.whole + "more 1\n", out.good}};
  out.of_another_user = all;
  return out;
}

Kind owner(const std::string& state) {
  Kind out;
  out.name = "owner";
  out.path = state + "/owner";
  out.good = "a1/web/1";
  out.whole = owner_text({{kLabelNodeId, "n1"}, {kLabelAllocId, "a1"}, {kLabelTaskId, out.good}});
  out.read = [state]() -> Seen {
    std::string task = owner_task(state);
    if (task.empty()) return std::nullopt;  // nobody's: it is left alone
    return task;
  };
  // Another task's, of which there is none.
  out.of_damaged = [size = out.good.size()](const std::string& value) {
    return value.size() == size;
  };
  out.others = {{out.whole + "nomad.more=1\n", out.good}};
  return out;
}

Kind login_mark(const std::string& state) {
  const LoginMark mark{"registry.example", "some\none",
                       WallTime{std::chrono::milliseconds{1714557600123}}};
  const auto named = [](const LoginMark& read) {
    const auto until = read.until.time_since_epoch();
    return read.user + " " +
           std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(until).count());
  };
  Kind out;
  out.name = "login mark";
  out.path = state + "/login-" + mark.host;
  out.whole = login_mark_text(mark);
  out.good = named(mark);
  out.read = [state, host = mark.host, named]() -> Seen {
    const auto read = LoginMarks{state}.read(host);
    if (!read) return std::nullopt;
    return named(*read);
  };
  // Another user's login, which is left alone.
  out.of_damaged = [size = out.good.size()](const std::string& value) {
    return value.size() == size;
  };
  const std::string version = "login 2";
  out.others = {{"login 1\n1714557600123\nregistry.example\nsome\none", out.good},
                {"login 3" + out.whole.substr(version.size()), std::nullopt}};
  return out;
}

Kind kept_images(const std::string& state) {
  const std::string first = "127.0.0.1:5000/a/b:1";
  const std::string second = "busybox";
  Kind out;
  out.name = "image list";
  out.path = state + "/.images";
  out.whole = kept_references_text({first, second});
  out.good = first + " " + second + " ";
  out.read = [state]() -> Seen {
    const auto kept = read_kept_references(state);
    if (!kept) return std::nullopt;  // as a warning: those images stay
    std::string all;
    for (const std::string& reference : *kept) all += reference + " ";
    return all;
  };
  // Those that are whole, and no other one; the rest with a warning.
  out.of_cut = out.of_damaged = [first, second](const std::string& value) {
    return value.empty() || value == first + " " || value == second + " ";
  };
  out.others = {{out.whole + "more: 1\n", out.good}};
  return out;
}

Kind handle(const std::string& state) {
  TaskHandle task;
  task.task_id = "a1/web/1";
  task.container = {"nomad-web-1", "c-1234", {{"network", "n"}}};
  Kind out;
  out.name = "task handle";
  out.path = state + "/handle";
  out.whole = encode_handle(task);
  out.good = task.container.id;
  out.read = [path = out.path]() -> Seen {
    const auto read = decode_handle(contents(path));
    if (!read) return std::nullopt;
    return read->container.id;
  };
  // A name that the engine does not know.
  out.of_damaged = [](const std::string& value) { return !value.empty(); };
  std::string newer = out.whole;
  const std::string version = "\"version\":" + std::to_string(TaskHandle::kVersion);
  newer.replace(newer.find(version), version.size(), "\"version\":99");
  out.others = {
      {R"({"version":1,"task_id":"t","container_name":"n","container_id":"c-1234"})", out.good},
      {newer, std::nullopt}};
  out.is_file = false;
  return out;
}

}  // namespace

State::State() {
  REQUIRE(::mkdir(path.c_str(), 0700) == 0);
  kinds = {exit_record(path), spool(path), log_position(path, *loop), owner(path), login_mark(path),
           kept_images(path), handle(path)};
}

}  // namespace ndc::test
