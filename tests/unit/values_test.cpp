// The small value types: durations, signals, names, labels, errors, handles.

#include "model/container_name.hpp"
#include "model/duration.hpp"
#include "model/error.hpp"
#include "model/labels.hpp"
#include "model/reply.hpp"
#include "model/signals.hpp"
#include "model/task_handle.hpp"
#include "support/catch.hpp"

namespace ndc {
namespace {

using namespace std::chrono_literals;

TEST_CASE("for ever is a year, in any unit, and less is left alone") {
  constexpr std::chrono::nanoseconds kYear = std::chrono::hours{365 * 24};
  CHECK(bounded_wait(std::chrono::nanoseconds::max()) == kYear);
  CHECK(bounded_wait(std::chrono::seconds::max()) == kYear);
  CHECK(bounded_wait(kYear - 1ns) == kYear - 1ns);
  CHECK(bounded_wait(-5s) == -5s);
}

TEST_CASE("durations parse as Go writes them") {
  CHECK(*parse_duration("5m") == 5min);
  CHECK(*parse_duration("1h30m") == 90min);
  CHECK(*parse_duration("1.5s") == 1500ms);
  CHECK(*parse_duration("250ms") == 250ms);
  CHECK(*parse_duration("0") == 0s);
  for (const char* wrong : {"", "5", "m", "5 m", "-5m", "5x", "1h-3m", "9999999999h"}) {
    auto parsed = parse_duration(wrong);
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().message().find("1h30m") != std::string::npos);
  }
  CHECK(format_duration(90min) == "1h30m");
  CHECK(format_duration(1500ms) == "1s500ms");
}

TEST_CASE("signals are known by their full names in any case") {
  CHECK(*signal_number("SIGTERM") == 15);
  CHECK(*signal_number("sigusr1") == 10);
  CHECK(signal_name(9) == "SIGKILL");
  auto unknown = signal_number("USR1");
  REQUIRE_FALSE(unknown.has_value());
  CHECK(unknown.error().message().find("SIGUSR1") != std::string::npos);
}

TEST_CASE("an image's stop signal may be written in more ways") {
  for (const auto& [text, number] : {std::pair{"SIGQUIT", 3},
                                     {"quit", 3},
                                     {"3", 3},
                                     {"64", 64},
                                     {"SIGRTMIN+3", 37},
                                     {"RTMIN", 34},
                                     {"rtmax-1", 63}}) {
    INFO(text);
    CHECK(image_signal_number(text).value_or(0) == number);
  }
  for (const char* text : {"", "0", "32", "65", "-1", "SIGRTMIN-1", "RTMIN+31", "SIG", "RTMIN+",
                           "99999999999999999999", "SIGNONSENSE"}) {
    INFO(text);
    CHECK_FALSE(image_signal_number(text).has_value());
  }
}

TEST_CASE("container names are readable, valid and never shared by two tasks") {
  const std::string alloc = "0a1b2c3d-1111-2222-3333-444455556666";
  CHECK(container_name("web", alloc) == "nomad-web-0a1b2c3d");
  CHECK(container_name("a b", alloc) != container_name("a/b", alloc));
  for (const std::string& task : {std::string{"web"}, std::string{"a b"}, std::string(99, 'x')}) {
    CHECK(may_be_container_name(container_name(task, alloc)));
  }
  for (const char* other : {"", "nomad", "nomad-", "nomad-web", "nomad--", "web-0a1b2c3d",
                            "my-nomad-web-0a1b2c3d", "nomad-a b-0a1b2c3d", "nomad-a/b-0a1b2c3d"}) {
    CHECK_FALSE(may_be_container_name(other));
  }
  CHECK(container_name(std::string(80, 'x') + "1", alloc) !=
        container_name(std::string(80, 'x') + "2", alloc));
  for (const std::string& task : {std::string(200, 'x'), std::string{"ä ö"}, std::string{}}) {
    const std::string name = container_name(task, alloc);
    CHECK(name.size() <= 63);
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789_.-") == std::string::npos);
  }
}

TEST_CASE("extra labels follow their globs; the three of the driver are always there") {
  TaskSpec spec;
  spec.id = "t";
  spec.job_id = "j";
  spec.job_name = "n";
  CHECK(driver_labels(spec, {}).size() == 3);
  auto labels = driver_labels(spec, {"job_*"});
  CHECK(labels["nomad.job_id"] == "j");
  CHECK(labels["nomad.job_name"] == "n");
  CHECK(labels.count("nomad.namespace") == 0);
  CHECK(glob_match("*", ""));
  CHECK(glob_match("a?c*", "abcd"));
  CHECK_FALSE(glob_match("a?c", "ac"));
}

TEST_CASE("an error reads from the outside in") {
  Error error{.code = ErrorCode::kImageNotFound,
              .what = "pull image",
              .on = "x\n",
              .cause = "not there",
              .hint = "check the name"};
  CHECK(error.message() == "pull image \"x\\x0a\": not there; check the name");
  CHECK(std::move(error).wrap("start task", "web").message() ==
        "start task \"web\": pull image \"x\\x0a\": not there; check the name");
}

TEST_CASE("bytes that are no UTF-8 never leave") {
  CHECK(valid_utf8("a\xFFz") == "a\xEF\xBF\xBDz");
  CHECK(valid_utf8("\xC0\xAF") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(valid_utf8("\xED\xA0\x80").find("\xED") == std::string::npos);
  CHECK(valid_utf8("µ€😀") == "µ€😀");
}

TEST_CASE("a handle comes back as it was written") {
  TaskHandle handle;
  handle.task_id = "alloc/web/1";
  handle.task_name = "web";
  handle.alloc_id = "alloc";
  handle.runtime = "podman";
  handle.container = {"nomad-web-1", "abc", {{"pid", "42"}}};
  handle.image = "busybox";
  handle.stop_signal = 10;
  handle.tty = true;
  handle.started_at = WallTime{std::chrono::seconds{1234}};
  handle.network = DriverNetwork{"10.0.0.2", {{"http", 80}}, true};
  auto read = decode_handle(encode_handle(handle));
  REQUIRE(read.has_value());
  CHECK(read->container == handle.container);
  CHECK(read->stop_signal == 10);
  CHECK(read->tty);
  CHECK(read->started_at == handle.started_at);
  CHECK(read->network->ports.at("http") == 80);
}

TEST_CASE("a handle with a stop signal that there is not has SIGTERM") {
  TaskHandle handle;
  handle.task_id = "t";
  handle.container = {"n", "i", {}};
  for (const auto& [written, read] : {std::pair{1, 1}, {64, 64}, {0, 15}, {-9, 15}, {65, 15}}) {
    INFO(written);
    handle.stop_signal = written;
    CHECK(decode_handle(encode_handle(handle))->stop_signal == read);
  }
}

TEST_CASE("no hostile handle is accepted, and none crashes the reader") {
  const std::string good = encode_handle([] {
    TaskHandle handle;
    handle.task_id = "t";
    handle.container = {"n", "i", {}};
    return handle;
  }());
  REQUIRE(decode_handle(good).has_value());
  for (std::size_t length = 0; length < good.size(); ++length) {
    CHECK_FALSE(decode_handle(good.substr(0, length)).has_value());
  }
  for (const char* wrong :
       {"", "null", "[]", "{}", R"({"version":99,"task_id":"t","container_name":"n"})",
        R"({"version":"1"})", R"({"version":1,"task_id":7,"container_id":[]})"}) {
    CHECK_FALSE(decode_handle(wrong).has_value());
  }
  CHECK_FALSE(decode_handle(std::string(2u << 20, '[')).has_value());
}

TEST_CASE("a reply is answered once, by whoever is first, and by nobody when it is dropped") {
  int answers = 0;
  std::optional<int> last;
  const auto sink = [&](std::optional<int> value) {
    ++answers;
    last = value;
  };
  {
    Reply<int> reply{sink};
    CHECK(reply(1));
    CHECK_FALSE(reply(2));
  }
  CHECK(answers == 1);
  CHECK(last == 1);
  { Reply<int> dropped{sink}; }
  CHECK(answers == 2);
  CHECK_FALSE(last.has_value());
  Reply<int> abandoned{sink};
  CHECK(abandoned.abandon());
  CHECK_FALSE(abandoned(3));
  CHECK(abandoned.settled());
  CHECK(answers == 2);
}

}  // namespace
}  // namespace ndc
