// The readers of single task settings: good values, and bad ones refused by the name of their key.

#include "model/byte_size.hpp"
#include "model/duration.hpp"
#include "model/signals.hpp"
#include "model/task_config.hpp"
#include "model/task_handle.hpp"
#include "support/catch.hpp"

namespace ndc {
namespace {

Value text(std::string s) { return Value{std::move(s)}; }
Value list(Value::List elements) { return Value{std::move(elements)}; }
Value map(Value::Map members) { return Value{std::move(members)}; }
Value texts(std::initializer_list<const char*> words) {
  Value::List out;
  for (const char* word : words) out.push_back(text(word));
  return list(std::move(out));
}

Expected<TaskConfig> task(const std::string& key, Value value) {
  Value::Map members{{key, std::move(value)}};
  members.try_emplace("image", text("busybox"));
  return decode_task_config(map(std::move(members)));
}

void refused(const std::string& key, const Value& value, const std::string& named = {}) {
  const auto config = task(key, value);
  CAPTURE(key);
  REQUIRE_FALSE(config.has_value());
  CHECK(config.error().message().find(named.empty() ? key : named) != std::string::npos);
  CHECK_FALSE(config.error().recoverable());
}

TEST_CASE("an image is in a registry or on this host, never a file by way of a transport") {
  for (const char* good :
       {"redis", "docker:dind", "docker://redis", "oci/x", "dir/x:1", "r:5000/oci:1"}) {
    CAPTURE(good);
    CHECK(task("image", text(good)).has_value());
  }
  for (const char* bad : {"docker-archive:/etc/x.tar", "oci-archive:x", "dir:/etc", "oci:/x",
                          "docker-daemon:x:1", "containers-storage:x", "tarball:x", "sif:x",
                          "ostree:x", "atomic:x", "docker://", "docker://-x", "https://--all",
                          "docker://dir:/etc", "http://docker://-x", "docker://docker://oci:/x"}) {
    CAPTURE(bad);
    refused("image", text(bad));
  }
}

TEST_CASE("a label cannot pose as one of the driver's") {
  CHECK(task("labels", map({{"a.b/c", text("x=y\nz")}}))->labels.at("a.b/c") == "x=y\nz");
  for (const char* bad : {"", "nomad.task_id=other", "a\nb", "="}) {
    CAPTURE(bad);
    refused("labels", map({{bad, text("x")}}));
  }
  refused("labels", map({{"a", text(std::string{"x\0y", 3})}}), "labels.a");
}

TEST_CASE("no word of a command line is cut short in silence") {
  const Value cut = text(std::string{"a\0b", 3});
  refused("args", list({cut}));
  refused("command", cut);
  refused("entrypoint", list({cut}));
  refused("entrypoint", cut);
  refused("env", map({{"A", cut}}), "env.A");
  CHECK(task("args", texts({"", "-x", "a\nb"}))->args ==
        std::vector<std::string>{"", "-x", "a\nb"});
}

TEST_CASE("an empty command is none, as with Nomad's docker driver") {
  CHECK_FALSE(task("command", text(""))->command.has_value());
  CHECK(task("command", text("x"))->command == "x");
}

TEST_CASE("names of variables are checked") {
  for (const char* bad : {"", "A=B", "A\nB"}) refused("env", map({{bad, text("x")}}));
}

TEST_CASE("limits are read as soft and hard") {
  const auto config = task("ulimit", map({{"nofile", text("10:20")},
                                          {"core", Value{std::int64_t{0}}},
                                          {"nproc", text("-1")},
                                          {"cpu", text("5:-1")}}));
  REQUIRE(config.has_value());
  CHECK(config->ulimit.at("nofile") == Ulimit{10, 20});
  CHECK(config->ulimit.at("core") == Ulimit{0, 0});
  CHECK(config->ulimit.at("nproc") == Ulimit{-1, -1});
  CHECK(config->ulimit.at("cpu") == Ulimit{5, -1});
  for (const char* bad :
       {"", ":", "20:10", "-2", "x", "1:2:3", "-1:5", "1 :2", "99999999999999999999"}) {
    CAPTURE(bad);
    refused("ulimit", map({{"nofile", text(bad)}}), "ulimit.nofile");
  }
  refused("ulimit", map({{"files", text("1")}}), "ulimit.files");
}

TEST_CASE("sizes are read with and without units") {
  for (const auto& [size, bytes] :
       std::map<std::string, std::int64_t>{{"1", 1},
                                           {"2b", 2},
                                           {"1k", 1024},
                                           {"1KB", 1024},
                                           {"64m", 64 << 20},
                                           {"1GiB", 1 << 30},
                                           {"1t", std::int64_t{1} << 40},
                                           {"8388607t", std::int64_t{8388607} << 40}}) {
    CAPTURE(size);
    CHECK(*parse_byte_size(size) == bytes);
  }
  for (const char* bad : {"", "m", "0", "-1", "1x", "1bb", "1bib", "1kk", " 1", "1 k", "1.5g",
                          "8388608t", "99999999999999999999", "1kibb"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_byte_size(bad).has_value());
  }
  CHECK(task("shm_size", text("64m"))->shm_size == 64 << 20);
  CHECK(task("shm_size", Value{std::int64_t{1024}})->shm_size == 1024);
  CHECK_FALSE(task("shm_size", text("0"))->shm_size.has_value());
  refused("shm_size", text("much"));
}

TEST_CASE("durations are exact to the nanosecond") {
  using namespace std::chrono_literals;
  CHECK(*parse_duration("1.001s") == 1001ms);
  CHECK(*parse_duration("2.003ms") == 2003us);
  CHECK(*parse_duration("1h0.000000001s") == 1h + 1ns);
  CHECK(*parse_duration("1µs") == 1us);
  CHECK(*parse_duration(".5s") == 500ms);
  for (const char* bad : {".s", "1..5s", "1s1", "s1", "1e3s", "+1s", " 1s", "1S"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_duration(bad).has_value());
  }
  CHECK_FALSE(parse_duration(std::string(5000, '9') + "h").has_value());
  CHECK(parse_duration("0." + std::string(5000, '0') + "s").has_value());
}

TEST_CASE("mount blocks are another spelling of volumes and tmpfs") {
  const auto config = task(
      "mount", list({map({{"type", text("bind")},
                          {"source", text("www")},
                          {"target", text("/www")},
                          {"readonly", Value{true}},
                          {"bind_options", map({{"propagation", text("rslave")}})}}),
                     map({{"type", text("volume")},
                          {"source", text("data")},
                          {"target", text("/data")},
                          {"volume_options", map({{"no_copy", Value{true}}})}}),
                     map({{"type", text("tmpfs")},
                          {"target", text("/run")},
                          {"tmpfs_options",
                           map({{"size", text("1m")}, {"mode", Value{std::int64_t{1777}}}})}})}));
  REQUIRE(config.has_value());
  REQUIRE(config->volumes.size() == 2);
  CHECK(config->volumes[0] == Volume{"./www", "/www", {"ro", "rslave"}});
  CHECK_FALSE(config->volumes[0].named());
  CHECK(config->volumes[1] == Volume{"data", "/data", {"nocopy"}});
  CHECK(config->tmpfs == std::vector<Tmpfs>{{"/run", "size=1048576,mode=1777"}});
}

TEST_CASE("a mount block that cannot be is refused by its number") {
  const auto block = [](const char* type, const char* source, const char* target) {
    return list({map({{"type", text(type)}, {"source", text(source)}, {"target", text(target)}})});
  };
  refused("mount", block("nfs", "/a", "/b"), "mount[0].type");
  refused("mount", block("bind", "", "/b"), "mount[0].source");
  refused("mount", block("bind", "/a", "b"), "mount[0].target");
  refused("mount", block("bind", "/a\n", "/b"), "mount[0].source");
  refused("mount", block("volume", "/a", "/b"), "mount[0].source");
  refused("mount", block("volume", "../a", "/b"), "mount[0].source");
  refused("mount", block("volume", "-v", "/b"), "mount[0].source");
  refused("mount", block("tmpfs", "x", "/b"), "mount[0].source");
  refused("mount", block("volume", "data", "/b:c"), "mount[0].target");
  refused("mount", block("tmpfs", "", "/b:exec"), "mount[0].target");
  refused("mount", text("x"));
  CHECK(task("mount", block("bind", "/a", "/b:c")).has_value());
}

TEST_CASE("volumes and tmpfs refuse what podman would read otherwise") {
  for (const char* bad : {"a", "/a", ":/b", "/a:b", "/a:/b:ro:z", "-a:/b", "/a\n:/b",
                          "/a:/b:suspicious", "/a:/b:", "a b:/c", "é:/c", ".hidden:/c", "_x:/c"}) {
    CAPTURE(bad);
    refused("volumes", texts({bad}));
  }
  for (const char* bad : {"", "run", "/run:size=", "/run:size=1x", "/run:mode=9",
                          "/run:mode=123456", "/run:exec,", "/run:bind", "/ru\nn"}) {
    CAPTURE(bad);
    refused("tmpfs", texts({bad}));
  }
  CHECK(task("tmpfs", texts({"/run:size=50%,mode=1777,noexec"})).has_value());
}

TEST_CASE("devices are absolute paths with known permissions") {
  const auto device = [](const char* host, const char* in, const char* permissions) {
    return list({map({{"host_path", text(host)},
                      {"container_path", text(in)},
                      {"cgroup_permissions", text(permissions)}})});
  };
  CHECK(task("devices", device("/dev/fuse", "", ""))->devices ==
        std::vector<Device>{{"/dev/fuse", "/dev/fuse", "rwm"}});
  refused("devices", device("", "", ""));
  refused("devices", device("dev/fuse", "", ""));
  refused("devices", device("/dev/fuse:/dev/sda", "", ""));
  refused("devices", device("/dev/fuse", "/dev/x:rw", ""));
  refused("devices", device("/dev/fuse", "", "rwx"));
}

TEST_CASE("network settings are checked for what they are") {
  CHECK(
      task("extra_hosts", texts({"db:10.0.0.7", "six:[fd00::1]", "seven:fd00::2"}))->extra_hosts ==
      std::vector<ExtraHost>{{"db", "10.0.0.7"}, {"six", "fd00::1"}, {"seven", "fd00::2"}});
  for (const char* bad : {"", "db", "db:", ":10.0.0.1", "db:x", "-db:10.0.0.1", "a b:10.0.0.1"}) {
    CAPTURE(bad);
    refused("extra_hosts", texts({bad}));
  }
  for (const char* bad : {"", "dns", "10.0.0", "10.0.0.1 ", "-1"}) refused("dns", texts({bad}));
  for (const char* bad : {"", "a b", "a\n"}) refused("dns_search", texts({bad}));
  for (const char* bad : {"02:42:ac:11:00", "02-42-ac-11-00-02", "02:42:ac:11:00:0g"}) {
    refused("mac_address", text(bad));
  }
  for (const char* bad : {"-host", "a b", "container:x", "ns:/proc/1/ns/net", "task:", "a/b"}) {
    CAPTURE(bad);
    refused("network_mode", text(bad));
  }
  for (const char* bad : {"-x", "a b", "a\n", ".a"}) refused("hostname", text(bad));
}

TEST_CASE("nothing hides behind a NUL byte in an address") {
  const std::string hidden{"10.0.0.1\0x", 10};
  refused("dns", list({text(hidden)}));
  refused("extra_hosts", list({text("db:" + hidden)}));
}

TEST_CASE("platforms, archives, sysctls, pids and security options are checked") {
  CHECK(task("platform", text("linux/arm64/v8")).has_value());
  for (const char* bad : {"linux", "linux/", "/amd64", "a/b/c/d", "a//b", "-a/b", "a b/c"}) {
    refused("platform", text(bad));
  }
  refused("load", text("/etc/x.tar"));
  refused("sysctl", map({{"a=b", text("1")}}), "sysctl.a=b");
  refused("sysctl", map({{"a", text("1\n")}}), "sysctl.a");
  refused("sysctl", map({{"-a", text("1")}}), "sysctl.-a");
  CHECK(task("pids_limit", Value{std::int64_t{-1}})->pids_limit == -1);
  CHECK_FALSE(task("pids_limit", Value{std::int64_t{0}})->pids_limit.has_value());
  refused("pids_limit", Value{std::int64_t{-2}});
  refused("pids_limit", Value{1.5});
  refused("pids_limit", Value{1e300});
  for (const char* bad : {"", "-x", "a\n"}) refused("security_opt", texts({bad}));
}

TEST_CASE("credentials are whole or not there, and the password is in no error") {
  const auto auth = [](std::string user, std::string password) {
    return map({{"username", text(std::move(user))}, {"password", text(std::move(password))}});
  };
  CHECK(task("auth", auth("u", "p:q"))->auth == RegistryAuth{"u", "p:q", ""});
  CHECK_FALSE(task("auth", auth("", ""))->auth.has_value());
  for (const auto& [user, password] : std::map<std::string, std::string>{
           {"", "s3cret"}, {"a:b", "s3cret"}, {"a\n", "s3cret"}, {"u", "s3cret\r"}}) {
    const auto config = task("auth", auth(user, password));
    REQUIRE_FALSE(config.has_value());
    CHECK(config.error().message().find("auth.") != std::string::npos);
    CHECK(config.error().message().find("s3cret") == std::string::npos);
  }
}

TEST_CASE("all errors of a list or a map are told at once") {
  const Value strange = list({text("good"), list({}), map({})});
  const Value cut = text(std::string{"a\0b", 3});
  const auto mount = [](const char* type, const char* source, const char* target) {
    return map({{"type", text(type)}, {"source", text(source)}, {"target", text(target)}});
  };
  const auto map_of = [](const char* one, const char* value, const char* other, const char* its) {
    return map({{one, text(value)}, {other, text(its)}});
  };
  struct Case {
    const char* key;
    Value value;
    std::vector<const char*> named;
  };
  const Case cases[] = {
      {"ports", strange, {"ports[1]", "ports[2]"}},
      {"args", list({cut, text("good"), cut}), {"args[0]", "args[2]"}},
      {"entrypoint", list({cut, text("good"), cut}), {"entrypoint[0]", "entrypoint[2]"}},
      {"cap_add", texts({"no_such", "chown", "nor_this"}), {"no_such", "nor_this"}},
      {"cap_drop", texts({"no_such", "chown", "nor_this"}), {"no_such", "nor_this"}},
      {"security_opt", texts({"-x", "label=disable", "-y"}), {"-x", "-y"}},
      {"dns", texts({"one", "10.0.0.1", "two"}), {"one", "two"}},
      {"dns_search", texts({"a b", "c d"}), {"a b", "c d"}},
      {"dns_options", texts({"a b", "c d"}), {"a b", "c d"}},
      {"extra_hosts", texts({"one", "ok:10.0.0.1", "two:x"}), {"\"one\"", "two:x"}},
      {"volumes", texts({"/a:b", "/a:/b", "/c:/", "/d:/e:what"}), {"/a:b", "/c:/", "what"}},
      {"tmpfs", texts({"a", "/ok", "/b:what"}), {"\"a\"", "what"}},
      {"publish_sockets", texts({"/a", "/a:/b", "c:/d"}), {"\"/a\"", "c:/d"}},
      {"env", map_of("a=b", "x", "c=d", "y"), {"a=b", "c=d"}},
      {"labels", map_of("a=b", "x", "c=d", "y"), {"a=b", "c=d"}},
      {"labels", map({{"a", list({})}, {"b", list({})}}), {"labels.a", "labels.b"}},
      {"sysctl", map_of("a=b", "1", "-c", "1"), {"sysctl.a=b", "sysctl.-c"}},
      {"ulimit", map_of("nofile", "x", "what", "1"), {"ulimit.nofile", "ulimit.what"}},
      {"mount",
       list({mount("tmpfs", "/x", "a"), mount("bind", "/x", "/ok"), mount("what", "", "/c")}),
       {"mount[0].target", "mount[0].source", "mount[2].type"}},
      {"devices",
       list({map({{"host_path", text("a")}, {"cgroup_permissions", text("x")}}),
             map({{"host_path", text("b")}})}),
       {"devices[0]", "devices[0].cgroup_permissions", "devices[1]"}},
  };
  for (const Case& each : cases) {
    CAPTURE(each.key);
    const auto config = task(each.key, each.value);
    REQUIRE_FALSE(config.has_value());
    CAPTURE(config.error().message());
    for (const char* named : each.named) {
      CAPTURE(named);
      CHECK(config.error().message().find(named) != std::string::npos);
    }
  }
}

TEST_CASE("every key refuses a value of the wrong type and takes nil") {
  const Value strange = list({list({list({})})});
  for (const Setting& setting : task_schema()) {
    CAPTURE(setting.key);
    if (setting.required) continue;
    CHECK(task(setting.key, Value{}).has_value());
    CHECK_FALSE(task(setting.key, strange).has_value());
  }
  CHECK_FALSE(decode_task_config(strange).has_value());
  CHECK_FALSE(decode_task_config(text("x")).has_value());
}

TEST_CASE("a handle of any depth or length is read or refused, never a crash") {
  const std::string deep =
      R"({"version":1,"task_id":"t","container_name":"n","container_id":"i","x":)" +
      std::string(400'000, '[') + std::string(400'000, ']') + "}";
  CHECK(decode_handle(deep).has_value());
  TaskHandle handle;
  handle.task_id = "t";
  handle.container = {"n", "i", {{"k", "\xFF\"\n"}}};
  const auto read = decode_handle(encode_handle(handle));
  REQUIRE(read.has_value());
  CHECK(read->container == handle.container);
  const auto newer = decode_handle(R"({"version":2000,"task_id":"t"})");
  REQUIRE_FALSE(newer.has_value());
  CHECK(newer.error().message().find("newer version") != std::string::npos);
  // What a field of the wrong type says is left out.
  const auto odd = decode_handle(
      R"({"version":1,"task_id":"t","container_name":"n","container_id":"i","stop_signal":"9",)"
      R"("tty":1,"started_at_ns":"x","container_state":[],"network":7})");
  REQUIRE(odd.has_value());
  CHECK(odd->stop_signal == kSigTerm);
  CHECK_FALSE(odd->tty);
  CHECK_FALSE(odd->network.has_value());
}

}  // namespace
}  // namespace ndc
