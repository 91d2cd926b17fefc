// What podman prints: whole, with anything missing, of the wrong type, and hostile.

#include "runtime/podman_json.hpp"
#include "support/catch.hpp"

namespace ndc::runtime {
namespace {

using namespace std::chrono_literals;

const std::string kId(64, 'a');

std::string container(const std::string& state, const std::string& more = "") {
  return R"([{"Id":")" + kId + R"(","Name":"n","State":{)" + state + "}" + more + "}]";
}

TEST_CASE("a container is read with all that is needed of it") {
  const auto found = parse_container(container(
      R"("Status":"exited","Running":false,"OOMKilled":true,"Pid":12,"ConmonPid":13,"ExitCode":137,)"
      R"("StartedAt":"2024-02-03T04:05:06.5+01:00","FinishedAt":"2024-02-03T03:05:07Z")",
      R"(,"HostConfig":{"LogConfig":{"Path":"/log"}},"Config":{"Labels":{"a":"b","c":7}})"));
  REQUIRE(found.has_value());
  CHECK(found->id == kId);
  CHECK(found->status == "exited");
  CHECK(found->oom_killed);
  CHECK(found->pid == 12);
  CHECK(found->conmon_pid == 13);
  CHECK(found->exit_code == 137);
  CHECK(found->log_path == "/log");
  CHECK(found->labels == std::map<std::string, std::string>{{"a", "b"}});
  REQUIRE(found->has_run());
  CHECK(*found->finished_at - *found->started_at == 500ms);
}

TEST_CASE("an exit code that podman does not tell is not 0") {
  CHECK(parse_container(container(R"("Status":"exited")"))->exit_code == -1);
  for (const char* wrong : {"\"0\"", "null", "0.5", "256", "-2", "99999999999999999999"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_container(container(std::string{R"("ExitCode":)"} + wrong)).has_value());
  }
}

TEST_CASE("fields of the wrong type count as missing") {
  const auto found = parse_container(
      container(R"("Status":[],"Running":"yes","OOMKilled":1,"Pid":-4,"ConmonPid":99999999999,)"
                R"("StartedAt":5,"FinishedAt":{})",
                R"(,"HostConfig":[],"Config":"x")"));
  REQUIRE(found.has_value());
  CHECK(found->status.empty());
  CHECK_FALSE(found->running);
  CHECK_FALSE(found->oom_killed);
  CHECK(found->pid == 0);
  CHECK(found->conmon_pid == 0);
  CHECK_FALSE(found->has_run());
}

TEST_CASE("what is no container, image or list is an error that says what to do") {
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  for (const std::string& wrong :
       {std::string{}, std::string{"[]"}, std::string{"{}"}, std::string{"nonsense"},
        std::string{"[{}]"}, std::string{"[1]"}, std::string{R"([{"Id":"short","State":{}}])"},
        std::string{R"([{"Id":7,"State":{}}])"}, "[" + container("") + "," + container("") + "]",
        deep, std::string(5u << 20, ' '), std::string(1000, '{')}) {
    const auto found = parse_container(wrong);
    REQUIRE_FALSE(found.has_value());
    CHECK(found.error().message().find("podman info") != std::string::npos);
    CHECK_FALSE(parse_image(wrong).has_value());
    CHECK_FALSE(parse_info(wrong).has_value());
  }
  const std::string good = container(R"("Running":true)");
  for (std::size_t length = 0; length < good.size(); ++length) {
    CHECK_FALSE(parse_container(good.substr(0, length)).has_value());
  }
}

TEST_CASE("brackets in a string are no nesting") {
  CHECK(
      parse_container(container("", R"(,"x":")" + std::string(500, '[') + R"(\"[")")).has_value());
}

TEST_CASE("an image tells its platform and stop signal") {
  const auto image = parse_image(R"([{"Id":")" + kId +
                                 R"(","Os":"linux","Architecture":"arm64","Variant":"v8",)"
                                 R"("Config":{"StopSignal":"SIGUSR1"}}])");
  REQUIRE(image.has_value());
  CHECK(image->stop_signal == "SIGUSR1");
  CHECK(is_for_platform(*image, "linux/arm64"));
  CHECK(is_for_platform(*image, "linux/arm64/v8"));
  CHECK_FALSE(is_for_platform(*image, "linux/arm64/v7"));
  CHECK_FALSE(is_for_platform(*image, "linux/amd64"));
  const auto bare = parse_image(R"([{"Id":")" + kId + R"(","Config":{"StopSignal":""}}])");
  REQUIRE(bare.has_value());
  CHECK_FALSE(bare->stop_signal.has_value());
}

TEST_CASE("a list leaves out what has no id or no name") {
  const auto list =
      parse_list(R"([{"Id":")" + kId +
                 R"(","Names":["a"],"State":"running","Created":5,"Labels":{"l":"v"}},)" +
                 R"({"Id":"x","Names":["b"]},{"Id":")" + kId + R"(","Names":[]},7,{}])");
  REQUIRE(list.has_value());
  REQUIRE(list->size() == 1);
  CHECK(list->front().running);
  CHECK(list->front().labels.at("l") == "v");
  CHECK(list->front().created_at == WallTime{5s});
  CHECK(parse_list("null")->empty());
  CHECK_FALSE(parse_list("{}").has_value());
}

TEST_CASE("podman's version is required of its info, the OCI runtime is not") {
  CHECK(parse_info(R"({"version":{"Version":"4.3.1"}})")->version == "4.3.1");
  CHECK(parse_info(R"({"version":{"Version":"4.3.1"},"host":{"ociRuntime":{"name":"runc"}}})")
            ->oci_runtime == "runc");
  CHECK(parse_info(R"({"version":{"Version":"4.3.1"},"host":[]})")->oci_runtime.empty());
  const auto images_file = [](const std::string& store) {
    return parse_info(R"({"version":{"Version":"4.3.1"},"store":)" + store + "}")->images_file;
  };
  CHECK(images_file(R"({"graphRoot":"/s","graphDriverName":"overlay","graphOptions":{}})") ==
        "/s/overlay-images/images.json");
  for (const char* store :
       {"{}", "[]", R"({"graphRoot":"s","graphDriverName":"vfs"})",
        R"({"graphRoot":"/s","graphDriverName":"../x"})",
        R"({"graphRoot":"/s","graphDriverName":"vfs","graphOptions":{"vfs.imagestore":"/b"}})"}) {
    CHECK(images_file(store).empty());
  }
  for (const char* wrong : {R"({"version":"4.3.1"})", R"({"version":{"Version":4}})", "[]", "7"}) {
    CHECK_FALSE(parse_info(wrong).has_value());
  }
}

TEST_CASE("times are read to the nanosecond, Go's zero time and nonsense are none") {
  CHECK(parse_rfc3339("1970-01-01T00:00:01.25Z") == WallTime{1250ms});
  CHECK(parse_rfc3339("1970-01-01T01:00:00+01:00") == WallTime{});
  CHECK(parse_rfc3339("2024-02-29T00:00:00Z").has_value());
  for (const char* wrong :
       {"", "0001-01-01T00:00:00Z", "2024-02-03", "2024-02-03T04:05:06", "2024-13-03T04:05:06Z",
        "2024-02-03T25:05:06Z", "2024-02-03T04:05:06Zx", "2024-02-03T04:05:06+01:00x",
        "2024-02-03T04:05:06+01-00", "2024-02-03T04:05:06+1", "2024-02-03 04:05:06Z"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_rfc3339(wrong).has_value());
  }
}

}  // namespace
}  // namespace ndc::runtime
