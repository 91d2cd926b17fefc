#include "standin/check.hpp"
#include "standin/kit.hpp"
#include "support/catch.hpp"

using standin::check;
using standin::Version;
using standin::kit::kVersions;
using standin::kit::Words;

namespace {

int code(Version version, const Words& words) { return check(version, words).code; }
std::string text(Version version, const Words& words) { return check(version, words).text; }

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("each version takes the options that it has", "[grammar]") {
  struct Row {
    Words words;
    Version since;
  };
  const Row rows[] = {
      {{"create", "--cap-drop", "ALL", "x"}, Version::v0_12_3},
      {{"create", "--shm-size", "64m", "x"}, Version::v1_0_0},
      {{"create", "--masked-path", "/proc/kcore", "x"}, Version::v1_2_2},
      {{"create", "--read-only-path", "NONE", "x"}, Version::v1_2_2},
      {{"create", "--kernel-arg", "quiet", "x"}, Version::v1_2_2},
      {{"run", "--progress", "plain", "x"}, Version::v0_12_3},
      {{"list", "--format", "yaml"}, Version::v0_12_3},
      {{"list", "--format", "toml"}, Version::v1_0_0},
      {{"network", "create", "--option", "a=b", "net"}, Version::v1_0_0},
      {{"copy", "a:/b", "c"}, Version::v1_0_0},
      {{"create", "--init", "--ssh", "--rosetta", "x"}, Version::v0_11_0},
  };
  for (const auto version : kVersions) {
    for (const auto& row : rows) {
      INFO(standin::to_string(version) << " " << row.words[1]);
      CHECK(code(version, row.words) == (version >= row.since ? 0 : 64));
    }
    CHECK(code(version, {"network", "create", "--plugin-variant", "v", "net"}) ==
          (version < Version::v1_0_0 ? 0 : 64));
    CHECK(code(version, {"create", "--progress", "none", "x"}) == 64);
    for (const char* unknown : {"--hostname", "--pull", "--restart", "--privileged", "--device",
                                "--stop-timeout", "--pids-limit", "--add-host", "--sysctl"}) {
      CHECK(code(version, {"run", unknown, "x"}) == 64);
    }
  }
}

TEST_CASE("words after the image belong to the container", "[grammar]") {
  for (const auto version : kVersions) {
    CHECK(holds(text(version, {"run", "x", "--rm", "-p", "--"}),
                R"("words":["x","--rm","-p","--"])"));
    CHECK(holds(text(version, {"run", "--", "x", "--", "---", "-=a"}),
                R"("words":["x","--","---","-=a"])"));
    CHECK(holds(text(version, {"run", "--rm", "--", "-x"}), R"("words":["-x"])") ==
          (code(version, {"run", "--rm", "--", "-x"}) == 0));
    CHECK(holds(text(version, {"exec", "--", "id", "sh", "-c", "--x"}),
                R"("words":["id","sh","-c","--x"])"));
  }
}

TEST_CASE("a word of three dashes is an error unless a -- precedes it", "[grammar]") {
  const auto verdict = check(standin::kNewest, {"run", "x", "---"});
  CHECK(verdict.code == 64);
  CHECK(verdict.text == "Invalid option: ---");
  CHECK(code(standin::kNewest, {"run", "x", "-=v"}) == 64);
  CHECK(code(standin::kNewest, {"run", "--", "x", "---"}) == 0);
}

TEST_CASE("option values are taken in four ways", "[grammar]") {
  const auto v = standin::kNewest;
  CHECK(holds(text(v, {"create", "--env", "A=b=c", "x"}), R"("--env":["A=b=c"])"));
  CHECK(holds(text(v, {"create", "--env=A=b=c", "x"}), R"("--env":["A=b=c"])"));
  CHECK(holds(text(v, {"create", "-e", "A=b", "x"}), R"("--env":["A=b"])"));
  CHECK(holds(text(v, {"create", "-e=A=b", "x"}), R"("--env":["A=b"])"));
  CHECK(code(v, {"create", "-eA=b", "x"}) == 64);
  CHECK(code(v, {"create", "-p8080:80", "x"}) == 64);
}

TEST_CASE("a value that begins with a dash needs the equals sign", "[grammar]") {
  const auto v = standin::kNewest;
  const auto verdict = check(v, {"create", "--entrypoint", "-v", "x"});
  CHECK(verdict.code == 64);
  CHECK(holds(verdict.text, "Missing value for '--entrypoint"));
  CHECK(holds(text(v, {"create", "--entrypoint=-v", "x"}), R"("--entrypoint":["-v"])"));
  CHECK(code(v, {"stop", "-t", "-1", "x"}) == 64);
}

TEST_CASE("an empty long value swallows the next word, an empty short one does not", "[grammar]") {
  const auto v = standin::kNewest;
  CHECK(holds(text(v, {"create", "--entrypoint=", "x", "y"}), R"("--entrypoint":["x"])"));
  CHECK(holds(text(v, {"create", "--entrypoint", "", "y"}), R"("--entrypoint":[""])"));
  CHECK(holds(text(v, {"create", "-w=", "y"}), R"("--workdir":[""])"));
  CHECK(code(v, {"create", "--entrypoint="}) == 64);
}

TEST_CASE("flags cluster and take no value, and the last of two values wins", "[grammar]") {
  const auto v = standin::kNewest;
  CHECK(code(v, {"run", "-it", "x"}) == 0);
  CHECK(code(v, {"run", "-di", "x"}) == 0);
  CHECK(code(v, {"run", "-iq", "x"}) == 64);
  CHECK(code(v, {"run", "--rm=true", "x"}) == 64);
  CHECK(holds(text(v, {"create", "--name", "aa", "--name", "bb", "x"}), R"("--name":["bb"])"));
  CHECK(code(v, {"system", "start", "--enable-kernel-install", "--disable-kernel-install"}) == 64);
}

TEST_CASE("numbers and enumerations are checked with the argv", "[grammar]") {
  for (const auto version : kVersions) {
    CHECK(code(version, {"create", "--cpus", "1.5", "x"}) == 64);
    CHECK(code(version, {"create", "--cpus", "0", "x"}) == 0);
    CHECK(code(version, {"create", "--uid", "4294967296", "x"}) == 64);
    CHECK(code(version, {"stop", "-t", "2147483648", "x"}) == 64);
    CHECK(code(version, {"list", "--format", "xml"}) == 64);
    CHECK(code(version, {"network", "create", "--subnet", "10.1.2.0", "n"}) == 64);
    CHECK(code(version, {"network", "create", "--subnet", "10.1.2.0/24", "n"}) == 0);
  }
}

TEST_CASE("labels of networks have keys of small words", "[grammar]") {
  for (const auto version : kVersions) {
    for (const char* good : {"a", "nomad.alloc-id=x", "dev.example/a.b-c=", "a1.2"}) {
      INFO(good);
      CHECK(code(version, {"network", "create", "--label", good, "n"}) == 0);
    }
    for (const char* bad : {"nomad.alloc_id=x", "A=x", "a-=x", "-a", "a..b=x", "a.=x", "a//b=x"}) {
      INFO(bad);
      CHECK(code(version, {"network", "create", std::string{"--label="} + bad, "n"}) == 1);
    }
  }
}

TEST_CASE("positionals are counted", "[grammar]") {
  const auto v = standin::kNewest;
  CHECK(text(v, {"create"}) == "Missing expected argument '<image>'");
  CHECK(code(v, {"exec", "id"}) == 64);
  CHECK(code(v, {"start", "a", "b"}) == 64);
  CHECK(code(v, {"image", "pull"}) == 64);
  CHECK(code(v, {"list", "x"}) == 64);
  CHECK(code(v, {"stop"}) == 0);
}

TEST_CASE("names have aliases, and --debug belongs to the root", "[grammar]") {
  const auto v = standin::kNewest;
  CHECK(code(v, {"i", "ls"}) == 0);
  CHECK(code(v, {"rm", "x"}) == 0);
  CHECK(code(v, {"--debug", "create", "x"}) == 0);
  CHECK(code(v, {"list", "--debug"}) == 0);
  CHECK(code(v, {"image", "list", "--debug"}) == 0);
  CHECK(code(v, {"create", "--label", "a", "--debug", "x"}) == 64);
  CHECK(code(v, {"frobnicate"}) == 64);
}

TEST_CASE("dns flags contradict --no-dns from 1.0 on", "[grammar]") {
  for (const auto version : kVersions) {
    CHECK(code(version, {"create", "--no-dns", "--dns", "1.1.1.1", "x"}) ==
          (version < Version::v1_0_0 ? 0 : 64));
  }
}
