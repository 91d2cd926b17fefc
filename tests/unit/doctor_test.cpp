// The doctor: its report, its options, and what it makes of the engines' answers.

#include "runtime/doctor.hpp"

#include <rapidjson/document.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/doctor_checks.hpp"
#include "runtime/doctor_report.hpp"
#include "support/catch.hpp"

namespace ndc::runtime {
namespace {

const Finding* find(const Findings& findings, const std::string& check) {
  const auto found = std::find_if(findings.begin(), findings.end(),
                                  [&](const Finding& finding) { return finding.check == check; });
  return found == findings.end() ? nullptr : &*found;
}

Verdict verdict(const Findings& findings, const std::string& check) {
  const Finding* found = find(findings, check);
  REQUIRE(found != nullptr);
  return found->verdict;
}

// `podman info` of a host on which everything is in order.
std::string info(const std::string& version = "4.3.1",
                 const std::string& controllers = R"("cpuset","cpu","memory","pids")",
                 const std::string& backend = "netavark", const std::string& rootless = "false",
                 const std::string& conmon = "/usr/bin/conmon") {
  return R"({"host":{"cgroupVersion":"v2","cgroupControllers":[)" + controllers +
         R"(],"conmon":{"path":")" + conmon + R"(","version":"conmon version 2.1.6"},)" +
         R"("networkBackend":")" + backend + R"(","security":{"rootless":)" + rootless +
         R"(},"ociRuntime":{"name":"crun","path":"/usr/bin/crun","version":"crun 1.8\nmore"}},)" +
         R"("store":{"graphDriverName":"overlay","graphRoot":"/"},"registries":{},)" +
         R"("version":{"Version":")" + version + R"("}})";
}

TEST_CASE("tasks can run unless a check has failed") {
  CHECK(tasks_can_run({}));
  CHECK(tasks_can_run({{"a", Verdict::kOk, "", ""}, {"b", Verdict::kWarning, "", ""}}));
  CHECK_FALSE(tasks_can_run({{"a", Verdict::kOk, "", ""}, {"b", Verdict::kFailed, "", ""}}));
}

TEST_CASE("the table says check, result and cure, and counts") {
  const std::string table =
      findings_table({{"first", Verdict::kOk, "fine", ""},
                      {"second", Verdict::kFailed, "broken\x1b[31m\nbadly", "mend it"}});
  CHECK(table.find("ok    first   fine\n") != std::string::npos);
  CHECK(table.find("FAIL  second  broken [31m badly  mend it\n") != std::string::npos);
  CHECK(table.find("Tasks cannot run on this host: 1 ok, 0 warnings, 1 failed.") !=
        std::string::npos);
  CHECK(table.find('\x1b') == std::string::npos);
}

TEST_CASE("long results are broken at spaces and lose no word") {
  std::string text;
  for (int i = 0; i < 60; ++i)
    text += (i == 0 ? "" : " ") + std::string{"wörd"} + std::to_string(i);
  const std::string table = findings_table({{"check", Verdict::kWarning, text, text}});
  for (int i = 0; i < 60; ++i) {
    const std::string word = "wörd" + std::to_string(i);
    const std::size_t first = table.find(word);
    REQUIRE(first != std::string::npos);
    CHECK(table.find(word, first + 1) != std::string::npos);
  }
  CHECK(std::count(table.begin(), table.end(), '\n') > 5);
}

TEST_CASE("the JSON is valid whatever the findings hold") {
  rapidjson::Document json;
  json.Parse(findings_json({{"a", Verdict::kOk, "\"quoted\" \xff \n", ""},
                            {"b", Verdict::kFailed, "no", "do this"}})
                 .c_str());
  REQUIRE_FALSE(json.HasParseError());
  CHECK_FALSE(json["ok"].GetBool());
  REQUIRE(json["checks"].Size() == 2);
  CHECK(std::string{json["checks"][1]["verdict"].GetString()} == "failed");
  CHECK(std::string{json["checks"][1]["cure"].GetString()} == "do this");
}

TEST_CASE("options are read in both forms, and wrong ones are named") {
  const auto options = parse_doctor_options(
      {"--runtime", "podman", "--podman-path=/opt/podman", "--json", "--timeout", "3s"});
  REQUIRE(options.has_value());
  CHECK(options->config.runtime == RuntimeKind::kPodman);
  CHECK(options->config.podman_path == "/opt/podman");
  CHECK(options->json);
  CHECK(options->timeout == std::chrono::seconds{3});
  const std::vector<std::vector<std::string>> wrong{
      {"--runtime", "docker"}, {"--podman-path", "podman"},
      {"--state-dir"},         {"--bogus"},
      {"--timeout", "soon"},   {"word"}};
  for (const auto& words : wrong) {
    const auto refused = parse_doctor_options(words);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::kInvalidConfig);
  }
}

TEST_CASE("a good podman info has no failure") {
  const Findings findings = podman_info_findings(info());
  CHECK(tasks_can_run(findings));
  CHECK(find(findings, "OCI runtime")->result == "/usr/bin/crun, crun 1.8");
}

TEST_CASE("each thing that podman info lacks is a failure with a cure") {
  const auto failed = [](const std::string& json, const std::string& check) {
    const Findings findings = podman_info_findings(json);
    CHECK(verdict(findings, check) == Verdict::kFailed);
    CHECK_FALSE(find(findings, check)->cure.empty());
  };
  failed(info("4.2.9"), "Podman");
  failed(info("3.4.4"), "Podman");
  failed(info("4.3.1", R"("cpu","pids","cpuset")"), "cgroups");
  failed(info("4.3.1", ""), "cgroups");
  failed(info("5.0.0", R"("cpuset","cpu","memory","pids")", ""), "network backend");
  failed(info("5.0.0", R"("cpuset","cpu","memory","pids")", "netavark", "true"), "Podman's mode");
  failed(info("5.0.0", R"("cpuset","cpu","memory","pids")", "cni", "false", ""), "conmon");
  for (const char* nonsense : {"", "[]", "{", "{\"version\":{\"Version\":4}}"}) {
    failed(nonsense, "Podman");
  }
}

TEST_CASE("a missing pids controller is a warning") {
  CHECK(verdict(podman_info_findings(info("4.3.1", R"("cpuset","cpu","memory")")), "cgroups") ==
        Verdict::kWarning);
}

// As container 0.11 and 1.2.2 print them.
constexpr const char* kOneVersion =
    R"([{"appName":"container","version":"1.2.2","buildType":"release","commit":"7c3e5a1f"}])";

std::string versions(const std::string& cli, const std::string& service) {
  return R"([{"appName":"container","version":")" + cli +
         R"("},{"appName":"container-apiserver","version":"container-apiserver version )" +
         service + R"x( (build: release, commit: 7c3e5a1)"}])x";
}

TEST_CASE("Apple's container is judged by its version and its service's") {
  CHECK(tasks_can_run(apple_version_findings(versions("0.11.0", "0.11.0"))));
  CHECK(tasks_can_run(apple_version_findings(versions("1.2.2", "1.2.2"))));
  CHECK(tasks_can_run(apple_version_findings(kOneVersion)));  // the status says that it is down
  CHECK(verdict(apple_version_findings(versions("0.10.0", "0.10.0")), "container") ==
        Verdict::kFailed);
  const Findings mixed = apple_version_findings(versions("1.2.2", "1.0.0"));
  CHECK(verdict(mixed, "container's versions") == Verdict::kFailed);
  CHECK(find(mixed, "container's versions")->cure.find("container system start") !=
        std::string::npos);
  for (const char* nonsense : {"", "{}", "[]", "[1]", R"([{"version":7}])"}) {
    CHECK(verdict(apple_version_findings(nonsense), "container") == Verdict::kFailed);
  }
}

TEST_CASE("a service of Apple's container whose version cannot be read is no failure of its own") {
  CHECK(tasks_can_run(apple_version_findings(versions("1.2.2", "?"))));
}

TEST_CASE("Apple's service runs only if it says so") {
  const auto said = [](int code, const char* json) {
    return apple_status_findings({Exited{code}, json, "Error: it is down\n", false});
  };
  CHECK(tasks_can_run(said(0, R"({"status":"running","appRoot":"/"})")));
  CHECK(tasks_can_run(said(0, R"({"apiServer":{"status":"running"}})")));
  CHECK(tasks_can_run(said(0, "what nobody has seen yet")));  // as the probe has it
  for (const char* down : {R"({"status":"not running"})", R"({"status":"unregistered"})",
                           R"({"status":"running"})", "", "[]"}) {
    const Findings findings = said(1, down);
    CHECK(verdict(findings, "container's service") == Verdict::kFailed);
    CHECK(findings.front().cure.find("container system start") != std::string::npos);
  }
  CHECK_FALSE(tasks_can_run(said(0, R"({"status":"not running"})")));
}

TEST_CASE("macOS 26 on Apple silicon is needed") {
  CHECK(tasks_can_run(macos_findings("26.0", "arm64")));
  CHECK(tasks_can_run(macos_findings("27.1.2", "arm64")));
  CHECK_FALSE(tasks_can_run(macos_findings("15.6", "arm64")));
  CHECK(find(macos_findings("15.6", "arm64"), "operating system")->cure.find("softwareupdate") !=
        std::string::npos);
  CHECK_FALSE(tasks_can_run(macos_findings("26.0", "x86_64")));
  CHECK_FALSE(tasks_can_run(macos_findings("", "")));
}

}  // namespace
}  // namespace ndc::runtime
