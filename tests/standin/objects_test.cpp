// Images, registries, networks, volumes, and the mode that only parses.
#include <unistd.h>

#include <algorithm>

#include "standin/kit.hpp"
#include "support/catch.hpp"

using namespace standin::kit;
using standin::Version;

namespace {

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Result pull(const Standin& cli, const std::string& reference) {
  return cli.run({"image", "pull", "--progress", "none", "--platform", "linux/arm64", reference});
}

}  // namespace

TEST_CASE("pulls fail as the reference asks for", "[objects]") {
  const Standin cli(Version::v1_2_2);
  CHECK(pull(cli, "alpine").out.empty());
  CHECK(holds(pull(cli, "unreachable.test/x").err, "hostname could not be found"));
  CHECK(holds(pull(cli, "example.test/notfound:1").err, "404 Not Found"));
  CHECK(holds(pull(cli, "private.test/x").err, "no credentials found for host private.test"));
  CHECK(cli.run({"create", "--name", "job-1", "--", "example.test/notfound"}).code == 1);
  standin::write_file(cli.path("registry.json"),
                      R"({"demo:1": {"User": "nobody", "platforms": ["linux/amd64"]}})");
  CHECK(holds(pull(cli, "other:1").err, "404 Not Found"));
  CHECK(holds(pull(cli, "demo:1").err, "unsupported platform"));
  CHECK(cli.run({"image", "pull", "--platform", "linux/amd64", "demo:1"}).code == 0);
}

TEST_CASE("up to 1.1.0 an image's variable without a value is the CLI's own", "[objects]") {
  for (const auto version : kVersions) {
    Standin cli(version);
    cli.set("OF_THE_HOST", "told");
    standin::write_file(cli.path("registry.json"),
                        R"({"demo:1": {"Env": ["OF_THE_HOST", "OF_NOBODY", "K=V"]}})");
    REQUIRE(cli.run({"create", "--name", "job-1", "--", "demo:1"}).code == 0);
    const std::string record = cli.read("containers/job-1/record.json");
    CHECK(holds(record, "OF_THE_HOST=told") == (version <= Version::v1_1_0));
    CHECK(holds(record, "OF_NOBODY") == (version > Version::v1_1_0));
    CHECK(holds(record, "K=V"));
  }
}

TEST_CASE("a private registry wants the right password of a login", "[objects]") {
  for (const auto version : {Version::v0_12_3, Version::v1_2_2}) {
    const Standin cli(version);
    const Words login = {"registry", "login", "-u", "user", "--password-stdin", "private.test"};
    CHECK(holds(cli.run(login, "wrong").err, "401 Unauthorized"));
    CHECK(cli.run({"registry", "login", "-u", "user", "private.test"}).code == 1);
    const Result good = cli.run(login, "secret\n");
    CHECK(good.code == 0);
    CHECK((standin::is_old(version) ? good.out : good.err) == "Login succeeded\n");
    CHECK(pull(cli, "private.test/x").code == 0);
    const auto list = cli.json({"registry", "list", "--format", "json"});
    REQUIRE(list.Size() == 1);
    CHECK(standin::get_string(list[0], "name") == "private.test");
    CHECK(standin::get_string(list[0], "username") == "user");
    CHECK_FALSE(holds(standin::to_plain_text(list), "secret"));
    cli.fault("image-pull", "keychain");
    CHECK(holds(pull(cli, "private.test/x").err, "-25308"));
    cli.no_fault("image-pull");
    CHECK(cli.run({"registry", "logout", "private.test"}).code == 0);
    CHECK(cli.run({"registry", "logout", "private.test"}).code == 0);
    CHECK(pull(cli, "private.test/x").code == 1);
    CHECK_FALSE(holds(cli.read("calls.jsonl"), "secret"));
  }
}

TEST_CASE("docker.io's login is kept, and ended, under the name of its API", "[objects]") {
  for (const auto version : {Version::v0_11_0, Version::v1_2_2}) {
    const Standin cli(version);
    REQUIRE(cli.run({"registry", "login", "-u", "user", "--password-stdin", "docker.io"}, "secret")
                .code == 0);
    CHECK(cli.run({"registry", "logout", "docker.io"}).code == 0);
    CHECK(cli.run({"registry", "list", "--quiet"}).out == "registry-1.docker.io\n");
    CHECK(cli.run({"registry", "logout", "registry-1.docker.io"}).code == 0);
    CHECK(cli.run({"registry", "list", "--quiet"}).out.empty());
  }
}

TEST_CASE("references are normalised", "[objects]") {
  const Standin cli(Version::v1_2_2);
  for (const char* reference :
       {"alpine", "user/app:2", "localhost:5000/x", "quay.io/a/b@sha256:00"}) {
    REQUIRE(pull(cli, reference).code == 0);
  }
  const std::string out = cli.run({"image", "list", "-q"}).out;
  CHECK(holds(out, "docker.io/library/alpine:latest\n"));
  CHECK(holds(out, "docker.io/user/app:2\n"));
  CHECK(holds(out, "localhost:5000/x:latest\n"));
  CHECK(holds(out, "quay.io/a/b@sha256:00\n"));
}

TEST_CASE("missing images are reported as the family does", "[objects]") {
  for (const auto version : kVersions) {
    const Standin cli(version);
    REQUIRE(pull(cli, "alpine").code == 0);
    const Result result = cli.run({"image", "inspect", "alpine", "nope"});
    CHECK(result.code == 1);
    CHECK(result.out.empty() != standin::is_old(version));
    CHECK(holds(result.err,
                standin::is_old(version) ? "InspectError(succeeded: " : "image not found: nope"));
    CHECK(cli.run({"image", "delete", "nope"}).code == 1);
    CHECK(cli.run({"image", "delete", "--force", "nope"}).code == 0);
    CHECK(holds(cli.run({"image", "delete", "alpine"}).out, "docker.io/library/alpine:latest\n"));
    CHECK(cli.run({"image", "list", "-q", "--format", "json"}).code ==
          (standin::is_old(version) ? 1 : 0));
  }
}

TEST_CASE("networks are made once, and stay while a container refers to them", "[objects]") {
  for (const auto version : kVersions) {
    const Standin cli(version);
    CHECK(cli.run({"network", "create", "back"}).out == "back\n");
    CHECK(holds(cli.run({"network", "create", "back"}).err, "network back already exists"));
    CHECK(cli.run({"network", "create", "none"}).code == 1);
    CHECK(cli.run({"network", "create", "Upper"}).code == 1);
    CHECK(holds(cli.run({"create", "--network", "host", "--", "alpine"}).err,
                "network host not found"));
    REQUIRE(cli.run({"create", "--name", "job-1", "--network", "back", "--", "alpine"}).code == 0);
    CHECK(holds(cli.run({"network", "delete", "back"}).err,
                "failed to delete one or more networks: [\"back\"]"));
    CHECK(cli.run({"delete", "job-1"}).code == 0);
    CHECK(cli.run({"network", "delete", "back"}).out == "back\n");
    CHECK(cli.run({"network", "delete", "default"}).code == 1);
    const Result missing = cli.run({"network", "inspect", "back"});
    CHECK(missing.code == (standin::is_old(version) ? 0 : 1));
    CHECK(missing.out == (standin::is_old(version) ? "[]\n" : ""));
  }
}

TEST_CASE("running containers have addresses of their own in the subnet", "[objects]") {
  const Standin cli(Version::v1_2_2);
  REQUIRE(cli.run({"network", "create", "--subnet", "10.9.8.0/24", "back"}).code == 0);
  for (const char* id : {"job-1", "job-2"}) {
    REQUIRE(cli.run({"create", "--name", id, "--network", "back", "--", "alpine", "sleep", "100"})
                .code == 0);
    REQUIRE(cli.run({"start", id}).code == 0);
  }
  const std::string out = cli.run({"list", "--format", "json"}).out;
  CHECK(holds(out, R"("ipv4Address":"10.9.8.2\/24")"));
  CHECK(holds(out, R"("ipv4Address":"10.9.8.3\/24")"));
}

TEST_CASE("volumes are made on demand, and serve one running container", "[objects]") {
  for (const auto version : {Version::v0_11_0, Version::v1_2_2}) {
    const Standin cli(version);
    const Result made =
        cli.run({"create", "--name", "job-1", "-v", "data:/d", "--", "alpine", "sleep", "100"});
    CHECK(holds(made.err, "named volume was automatically created"));
    REQUIRE(cli.run({"create", "--name", "job-2", "-v", "data:/d", "--", "alpine"}).err.empty());
    REQUIRE(cli.run({"start", "job-1"}).code == 0);
    CHECK(holds(cli.run({"start", "job-2"}).err, "storage device attachment is invalid"));
    CHECK(cli.run({"volume", "delete", "data"}).code == 1);
    CHECK(cli.run({"delete", "-f", "job-1", "job-2"}).code == 0);
    CHECK(cli.json({"volume", "inspect", "data"}).Size() == 1);
    CHECK(cli.run({"volume", "delete", "data"}).out == "data\n");
    CHECK(cli.run({"volume", "inspect", "data"}).code == 1);
    CHECK(cli.run({"volume", "delete"}).code == (standin::is_old(version) ? 0 : 1));
  }
}

TEST_CASE("a port that is taken is found out at the start", "[objects]") {
  const Standin cli(Version::v1_2_2);
  // A port of this test: the one that the first container binds.
  int port = 20000 + getpid() % 10000;
  const auto start = [&](const std::string& id) {
    REQUIRE(cli.run({"create", "--name", id, "-p", "127.0.0.1:" + std::to_string(port) + ":80",
                     "--", "alpine", "sleep", "100"})
                .code == 0);
    return cli.run({"start", id});
  };
  Result first = start("job-1");
  for (int others = 0; others < 10 && holds(first.err, "errno: 48"); ++others) {
    REQUIRE(cli.run({"delete", "job-1"}).code == 0);
    ++port;
    first = start("job-1");
  }
  REQUIRE(first.code == 0);
  const Result result = start("job-2");
  CHECK(result.code == 1);
  CHECK(holds(result.err, "errno: 48"));
}

TEST_CASE("one process judges many argvs", "[objects]") {
  Standin cli(Version::v1_2_2);
  cli.set("NDC_STANDIN_PARSE_ONLY", "1");
  std::string lines;
  for (int i = 0; i < 1000; ++i) {
    lines += "[\"create\",\"--name\",\"job-" + std::to_string(i) + "\",\"--\",\"alpine\"]\n";
  }
  lines += "[\"create\",\"--nope\",\"x\"]\n[\"create\",\"-l\",\"a=b=c\",\"x\"]\n";
  const Result result = cli.run({}, lines);
  CHECK(result.code == 0);
  CHECK(std::count(result.out.begin(), result.out.end(), '\n') == 1002);
  CHECK(holds(result.out, R"("record":{"id":"job-999")"));
  CHECK(holds(result.out, "\n64 Unknown option '--nope'\n1 invalid label format a=b=c\n"));
}
