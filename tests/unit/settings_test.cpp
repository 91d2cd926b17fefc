// The plugin's and the task's configuration blocks, as decoded values.

#include <chrono>

#include "model/plugin_config.hpp"
#include "model/task_config.hpp"
#include "support/catch.hpp"

namespace ndc {
namespace {

Value text(std::string s) { return Value{std::move(s)}; }
Value list(Value::List elements) { return Value{std::move(elements)}; }
Value map(Value::Map members) { return Value{std::move(members)}; }

Expected<TaskConfig> task(Value::Map members) {
  members.try_emplace("image", text("busybox"));
  return decode_task_config(map(std::move(members)));
}

std::string error_of(const Expected<TaskConfig>& config) {
  return config ? std::string{} : config.error().message();
}

TEST_CASE("a plugin config of nils is the documented default") {
  Value::Map nils;
  for (const Setting& setting : plugin_schema()) nils[setting.key] = Value{};
  auto config = decode_plugin_config(map(nils));
  REQUIRE(config.has_value());
  CHECK(*config == PluginConfig{});
  CHECK(*decode_plugin_config(Value{}) == PluginConfig{});
  CHECK(*decode_plugin_config(map({{"gc", map({{"container", Value{}}})}})) == PluginConfig{});
}

TEST_CASE(
    "another task's network is waited for as long as that task may pull its image, and more") {
  CHECK(PluginConfig{}.peer_patience() == std::chrono::seconds{330});
  const auto config = decode_plugin_config(
      map({{"image_pull_timeout", text("20m")}, {"command_timeout", text("10s")}}));
  REQUIRE(config.has_value());
  CHECK(config->peer_patience() == std::chrono::seconds{1210});
}

TEST_CASE("false is not the same as absent") {
  auto config = decode_plugin_config(map({{"enabled", Value{false}},
                                          {"gc", map({{"container", Value{false}}})},
                                          {"volumes", map({{"enabled", Value{false}}})}}));
  REQUIRE(config.has_value());
  CHECK_FALSE(config->enabled);
  CHECK_FALSE(config->gc.container);
  CHECK_FALSE(config->volumes.enabled);
}

TEST_CASE("a wrong value names its key and shows a valid one") {
  auto config = decode_plugin_config(map({{"command_timeout", text("soon")}}));
  REQUIRE_FALSE(config.has_value());
  CHECK(config.error().message().find("\"command_timeout\"") != std::string::npos);
  CHECK(config.error().message().find("\"30s\"") != std::string::npos);
  CHECK_FALSE(config.error().recoverable());
}

TEST_CASE("all errors of a block are reported at once") {
  const std::string error = error_of(
      decode_task_config(map({{"network_mode", text("a b")}, {"stop_signal", text("USR9")}})));
  CHECK(error.find("\"image\"") != std::string::npos);
  CHECK(error.find("\"network_mode\"") != std::string::npos);
  CHECK(error.find("\"stop_signal\"") != std::string::npos);
}

TEST_CASE("all errors of a list of the operator's are reported at once") {
  const auto bad = [](const char* one, const char* other) {
    return list({text(one), text("job_name"), text(other)});
  };
  const std::pair<const char*, Value> cases[] = {
      {"extra_labels", bad("one", "two")},
      {"allow_caps", bad("one", "two")},
      {"allowed_images", list({text("one two"), text("good"), text("two two")})},
  };
  for (const auto& [key, value] : cases) {
    CAPTURE(key);
    const auto config = decode_plugin_config(map({{key, value}}));
    REQUIRE_FALSE(config.has_value());
    CHECK(config.error().message().find("\"one") != std::string::npos);
    CHECK(config.error().message().find("\"two") != std::string::npos);
  }
  const auto config = decode_plugin_config(
      map({{"volumes", map({{"allowed_paths", list({text("one"), text("/ok"), text("two")})}})}}));
  REQUIRE_FALSE(config.has_value());
  CHECK(config.error().message().find("\"one") != std::string::npos);
  CHECK(config.error().message().find("\"two") != std::string::npos);
}

TEST_CASE("settings that ask for nothing are no settings") {
  CHECK(task({{"privileged", Value{false}}, {"devices", list({})}}).has_value());
}

TEST_CASE("metrics are on the loopback unless another address is written") {
  const auto address = [](const char* written) {
    const auto config = decode_plugin_config(map({{"metrics_address", text(written)}}));
    return config ? config->metrics_address : "refused: " + config.error().message();
  };
  CHECK(address("").empty());
  CHECK(address("9106") == "127.0.0.1:9106");
  CHECK(address(":9106") == "127.0.0.1:9106");
  CHECK(address("localhost:9106") == "127.0.0.1:9106");
  CHECK(address("127.0.0.1:09106") == "127.0.0.1:9106");
  CHECK(address("0.0.0.0:1") == "0.0.0.0:1");
  CHECK(address("[::1]:65535") == "[::1]:65535");
  for (const char* wrong :
       {"here", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:80s", "::1:9106", "[127.0.0.1]:9106", "[::1:9106", "node.example:9106",
        "http://127.0.0.1:9106", "127.0.0.1:9106,0.0.0.0:9106", " 127.0.0.1:9106"}) {
    CAPTURE(wrong);
    CHECK(address(wrong).find("\"metrics_address\"") != std::string::npos);
    CHECK(address(wrong).find("127.0.0.1:9106") != std::string::npos);
  }
}

TEST_CASE("maps are accepted in every spelling that Nomad delivers") {
  const std::map<std::string, std::string> want{{"a", "1"}, {"b", "x"}};
  const Value one = map({{"a", Value{std::int64_t{1}}}, {"b", text("x")}});
  CHECK(task({{"env", one}})->env == want);
  CHECK(task({{"env", list({one})}})->env == want);
  CHECK(task({{"env", list({map({{"a", text("0")}, {"b", text("x")}}), map({{"a", text("1")}})})}})
            ->env == want);
  CHECK(error_of(task({{"env", text("a=1")}})).find("\"env\"") != std::string::npos);
}

TEST_CASE("an entrypoint is a word or a list of words") {
  CHECK(task({{"entrypoint", text("/bin/sh")}})->entrypoint == std::vector<std::string>{"/bin/sh"});
  CHECK(task({{"entrypoint", list({text("/bin/sh"), text("-c")})}})->entrypoint ==
        std::vector<std::string>{"/bin/sh", "-c"});
}

TEST_CASE("volumes are taken apart and checked") {
  auto config = task({{"volumes", list({text("local/www:/www:ro"), text("data:/data")})}});
  REQUIRE(config.has_value());
  CHECK(config->volumes[0] == Volume{"local/www", "/www", {"ro"}});
  CHECK(config->volumes[1].named());
  for (const char* wrong : {"", "/a", ":/b", "/a:b", "/a:/b:ro:z", "-v:/b", "/a\n:/b"}) {
    CHECK_FALSE(task({{"volumes", list({text(wrong)})}}).has_value());
  }
}

TEST_CASE("network modes are recognised") {
  using Kind = NetworkMode::Kind;
  CHECK(task({{"network_mode", text("host")}})->network_mode.kind == Kind::kHost);
  CHECK(task({{"network_mode", text("none")}})->network_mode.kind == Kind::kNone);
  CHECK(task({{"network_mode", text("task:db")}})->network_mode == NetworkMode{Kind::kTask, "db"});
  CHECK(task({{"network_mode", text("backend")}})->network_mode ==
        NetworkMode{Kind::kNamed, "backend"});
  CHECK(task({{"network_mode", text("default")}})->network_mode == NetworkMode{});
  CHECK(task({{"network_mode", text("bridge")}})->network_mode == NetworkMode{});
  CHECK_FALSE(task({{"network_mode", text("--host")}}).has_value());
}

TEST_CASE("an image that could be taken for an option is refused") {
  for (const char* wrong : {"", "-it", "a b", "a\nb"}) {
    CHECK_FALSE(task({{"image", text(wrong)}}).has_value());
  }
}

TEST_CASE("an alias works, both spellings at once do not") {
  CHECK(task({{"work_dir", text("/srv")}})->working_dir == "/srv");
  CHECK_FALSE(task({{"work_dir", text("/srv")}, {"working_dir", text("/srv")}}).has_value());
}

}  // namespace
}  // namespace ndc
