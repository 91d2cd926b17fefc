#include <cstdlib>

#include "standin/check.hpp"
#include "standin/kit.hpp"
#include "support/catch.hpp"

using standin::check;
using standin::Version;
using standin::kit::kVersions;
using standin::kit::Words;

namespace {

int code(Version version, const Words& words) { return check(version, words).code; }

standin::Json record(const Words& words, Version version = standin::kNewest) {
  Words full = {"create"};
  full.insert(full.end(), words.begin(), words.end());
  full.insert(full.end(), {"--", "alpine", "true"});
  const auto verdict = check(version, full);
  INFO(verdict.text);
  REQUIRE(verdict.code == 0);
  standin::Json json;
  json.CopyFrom((*standin::parse_json(verdict.text))["record"], json.GetAllocator());
  return json;
}

std::string config(const Words& words, const char* key) {
  const auto json = record(words);
  return standin::to_plain_text(json["configuration"][key]);
}

bool fails(const Words& words, const std::string& part, Version version = standin::kNewest) {
  Words full = {"create"};
  full.insert(full.end(), words.begin(), words.end());
  full.emplace_back("alpine");
  const auto verdict = check(version, full);
  INFO(verdict.text);
  return verdict.code == 1 && verdict.text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a label value may hold no equals sign, and loses one at either end", "[values]") {
  CHECK(config({"-l", "a=b"}, "labels") == R"({"a":"b"})");
  CHECK(config({"-l", "a"}, "labels") == R"({"a":""})");
  CHECK(config({"-l", "a=b="}, "labels") == R"({"a":"b"})");
  CHECK(config({"-l", "a==b"}, "labels") == R"({"a":"b"})");
  CHECK(config({"-l", "=v"}, "labels") == R"({"v":""})");
  CHECK(config({"-l", "a=1", "-l", "a=2"}, "labels") == R"({"a":"2"})");
  for (const auto version : kVersions) {
    CHECK(fails({"-l", "a=b=c"}, "invalid label format", version));
    CHECK(code(version, {"create", "-l", "=", "x"}) == 1);
    CHECK(code(version, {"create", "-l", "", "x"}) == 1);
  }
}

TEST_CASE("memory is at least 200 MiB, in binary units, in whole MiB", "[values]") {
  const auto memory = [](const char* text) {
    return record({"-m", text})["configuration"]["resources"]["memoryInBytes"].GetUint64();
  };
  CHECK(memory("256m") == 268435456);
  CHECK(memory("256MB") == 268435456);
  CHECK(memory("0.5GiB") == 536870912);
  CHECK(memory("268435457") == 268435456);
  CHECK(fails({"-m", "128m"}, "minimum memory amount allowed is 200 MiB (got 134217728 bytes)"));
  CHECK(fails({"-m", "128m"}, "failed to create container (cause:", Version::v1_1_0));
  CHECK(fails({"-m", "much"}, "memory"));
}

TEST_CASE("the environment is merged, inherited and never invented", "[values]") {
  setenv("STANDIN_TEST_VALUE", "a\nb", 1);
  const std::string env = standin::to_plain_text(
      record({"-e", "STANDIN_TEST_VALUE", "-e", "STANDIN_TEST_UNSET", "-e", "A=1", "-e", "A=2",
              "-e", "E="})["configuration"]["initProcess"]["environment"]);
  CHECK(env.find(R"("STANDIN_TEST_VALUE=a\nb")") != std::string::npos);
  CHECK(env.find("UNSET") == std::string::npos);
  CHECK(env.find(R"("A=2")") != std::string::npos);
  CHECK(env.find(R"("A=1")") == std::string::npos);
  CHECK(env.find(R"("E=")") != std::string::npos);
  unsetenv("STANDIN_TEST_VALUE");
}

TEST_CASE("ports need a host port, equal ranges and no overlap", "[values]") {
  CHECK(
      config({"-p", "127.0.0.1:8080:80"}, "publishedPorts") ==
      R"([{"hostAddress":"127.0.0.1","hostPort":8080,"containerPort":80,"proto":"tcp","count":1}])");
  CHECK(config({"-p", "[::1]:9000-9002:9000-9002/udp"}, "publishedPorts") ==
        R"([{"hostAddress":"::1","hostPort":9000,"containerPort":9000,"proto":"udp","count":3}])");
  CHECK(fails({"-p", "80"}, "publish"));
  CHECK(fails({"-p", "0:80"}, "publish"));
  CHECK(fails({"-p", "8080:1"}, "publish"));
  CHECK(fails({"-p", "8000-8002:80-81"}, "not equal"));
  CHECK(fails({"-p", "127.0.0.1:80:80", "-p", "[::1]:80:80"}, "overlap"));
  CHECK(record({"-p", "80:80/tcp", "-p", "80:80/udp"}).IsObject());
  Words many;
  for (int i = 0; i < 65; ++i) {
    many.emplace_back("-p");
    many.push_back(std::to_string(10000 + i) + ":80");
  }
  CHECK(fails(many, "64"));
  for (const auto version : kVersions) {
    CHECK(code(version, {"create", "-p", "65535:80", "x"}) == (standin::is_old(version) ? 133 : 0));
  }
}

TEST_CASE("volumes and mounts are told apart", "[values]") {
  CHECK(config({"-v", "/a:/b:ro"}, "mounts") ==
        R"([{"type":{"virtiofs":{}},"source":"/a","destination":"/b","options":["ro"]}])");
  CHECK(config({"-v", "data:/b"}, "mounts").find(R"("name":"data")") != std::string::npos);
  CHECK(config({"--tmpfs", "/t"}, "mounts") ==
        R"([{"type":{"tmpfs":{}},"source":"tmpfs","destination":"/t","options":[]}])");
  CHECK(
      config({"--mount", "type=tmpfs,destination=/t,size=64m,mode=700"}, "mounts") ==
      R"([{"type":{"tmpfs":{}},"source":"tmpfs","destination":"/t","options":["size=67108864","mode=700"]}])");
  CHECK(config({"--mount", "type=bind,source=/a,target=/b,readonly"}, "mounts") ==
        R"([{"type":{"virtiofs":{}},"source":"/a","destination":"/b","options":["ro"]}])");
  CHECK(fails({"--mount", "type=bind,source=/a=b,target=/c"}, "invalid directive"));
  CHECK(fails({"--mount", "type=bind,source=/a,target=/c,color=red"}, "unknown directive"));
  CHECK(fails({"-v", "/a:/b:ro:x"}, "invalid volume"));
}

TEST_CASE("networks are names, none stands alone", "[values]") {
  CHECK(config({"--network", "none"}, "networks") == "[]");
  CHECK(config({"--name", "job-1", "--network", "back,mtu=1500"}, "networks") ==
        R"([{"network":"back","options":{"hostname":"job-1","mtu":1500}}])");
  CHECK(fails({"--network", "none", "--network", "default"}, "none"));
  CHECK(fails({"--network", "a,b=c"}, "unknown network property"));
  CHECK(fails({"--network", "a,mtu=100"}, "mtu"));
}

TEST_CASE("IDs have a grammar, and a length from 1.2 on", "[values]") {
  const std::string long_id(64, 'a');
  for (const auto version : kVersions) {
    CHECK(code(version, {"create", "--name", "a", "x"}) == 1);
    CHECK(code(version, {"create", "--name", "-a", "x"}) == 64);
    CHECK(code(version, {"create", "--name", "a/b", "x"}) == 1);
    CHECK(code(version, {"create", "--name", long_id, "x"}) ==
          (version >= Version::v1_2_2 ? 1 : 0));
  }
  CHECK(fails({"--name", "a b"}, "container ID a b is not a valid container ID"));
  CHECK(fails({"--name", "a b"}, "invalid entity name a b", Version::v1_1_0));
}

TEST_CASE("the process is put together from image and words", "[values]") {
  const auto process = [](const Words& words) {
    auto json = record(words);
    return standin::to_plain_text(json["configuration"]["initProcess"]["executable"]) +
           standin::to_plain_text(json["configuration"]["initProcess"]["arguments"]);
  };
  CHECK(process({}) == R"("true"[])");
  CHECK(process({"--entrypoint", "/bin/x"}) == R"("/bin/x"["true"])");
  CHECK(process({"--entrypoint", ""}) == R"("true"[])");
}

TEST_CASE("users keep the form in which they were given", "[values]") {
  const auto user = [](const Words& words) {
    return standin::to_plain_text(record(words)["configuration"]["initProcess"]["user"]);
  };
  CHECK(user({}) == R"({"id":{"uid":0,"gid":0}})");
  CHECK(user({"-u", "1000:100"}) == R"({"raw":{"userString":"1000:100"}})");
  CHECK(user({"--uid", "7", "--gid", "8"}) == R"({"id":{"uid":7,"gid":8}})");
  CHECK(user({"--uid", "7"}) == R"({"raw":{"userString":"7"}})");
}

TEST_CASE("masked paths add to the defaults, NONE empties them", "[values]") {
  CHECK(config({"--masked-path", "NONE", "--masked-path", "/x"}, "maskedPaths") == R"(["/x"])");
  CHECK(config({"--masked-path", "/x"}, "maskedPaths").find("/proc/kcore") != std::string::npos);
}

TEST_CASE("rosetta comes with amd64, capabilities and limits are checked", "[values]") {
  CHECK(config({"--platform", "linux/amd64"}, "rosetta") == "true");
  CHECK(config({"--platform", "linux/arm64"}, "rosetta") == "false");
  CHECK(config({"--cap-add", "net_admin"}, "capAdd") == R"(["CAP_NET_ADMIN"])");
  CHECK(fails({"--cap-add", "FLY"}, "capability"));
  CHECK(fails({"--ulimit", "nofile=2:1"}, "exceeds"));
  CHECK(fails({"--ulimit", "nofile=1", "--ulimit", "nofile=2"}, "duplicate"));
  CHECK(fails({"--ulimit", "files=1"}, "unsupported"));
}

TEST_CASE("signal names follow macOS in 0.x and Linux from 1.0 on", "[values]") {
  for (const auto version : kVersions) {
    CHECK(code(version, {"kill", "-s", "10", "x"}) == 0);
    CHECK(code(version, {"kill", "-s", "sigusr1", "x"}) == 0);
    CHECK(code(version, {"kill", "-s", "0", "x"}) == 1);
    CHECK(code(version, {"kill", "-s", "32", "x"}) == 1);
    CHECK(code(version, {"kill", "-s", "RTMIN+3", "x"}) == (standin::is_old(version) ? 1 : 0));
    CHECK(code(version, {"kill", "-s", "NOPE", "x"}) == 1);
  }
}
