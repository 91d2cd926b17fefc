// Apple's container, judged by what its CLI says.
#include <rapidjson/document.h>

#include <string>
#include <utility>

#include "model/version_number.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/apple_environment.hpp"
#include "runtime/doctor_checks.hpp"

namespace ndc::runtime {
namespace {

constexpr VersionNumber kOldest{0, 11, 0};
constexpr int kOldestMacOs = 26;
constexpr std::size_t kMaxJson = 1u << 20;
constexpr const char* kInstall = "install it: https://github.com/apple/container/releases";
constexpr const char* kRestart = "container system stop && container system start";

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

bool parse(std::string_view json, rapidjson::Document& document) {
  if (json.size() > kMaxJson) return false;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  return !document.HasParseError();
}

std::string text(const rapidjson::Value& object, const char* name) {
  if (!object.IsObject()) return {};
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd() || !found->value.IsString()) return {};
  return std::string{found->value.GetString(), found->value.GetStringLength()};
}

// The daemon's is a sentence: "container-apiserver version 1.0.0 (build: release, …)".
std::optional<VersionNumber> version_in(std::string_view sentence) {
  constexpr std::string_view kWord = "version ";
  const std::size_t word = sentence.find(kWord);
  return parse_version(word == std::string_view::npos ? sentence
                                                      : sentence.substr(word + kWord.size()));
}

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \r\n\t") + 1);
  return text;
}

}  // namespace

Findings macos_findings(std::string_view version, std::string_view machine) {
  const auto number = parse_version(version);
  const std::string found = number ? "macOS " + number->text() : "no macOS";
  Findings out;
  if (number && number->major >= kOldestMacOs) {
    out.push_back({"operating system", Verdict::kOk, found, {}});
  } else {
    out.push_back({"operating system", Verdict::kFailed, found, "use macOS 26 or newer"});
  }
  if (machine != "arm64") {
    out.push_back({"processor", Verdict::kFailed, std::string{machine} + ", no Apple silicon",
                   "use a Mac with Apple silicon"});
  }
  return out;
}

Findings apple_version_findings(std::string_view version_json) {
  rapidjson::Document document;
  if (!parse(version_json, document) || !document.IsArray() || document.Empty()) {
    return {{"container", Verdict::kFailed, "container system version gave no version", kInstall}};
  }
  const std::string said = text(document[0], "version");
  const auto cli = version_in(said);
  if (!cli || *cli < kOldest) {
    return {{"container", Verdict::kFailed, "version " + quoted(said) + " is too old",
             std::string{"use 0.11 or newer; "} + kInstall}};
  }
  Findings out{{"container", Verdict::kOk, "version " + cli->text(), {}}};
  if (document.Size() < 2) return out;  // no service: that is the other check's to say
  const auto service = version_in(text(document[1], "version"));
  if (service && *service == *cli) {
    out.push_back({"container's versions", Verdict::kOk, "command and service are the same", {}});
  } else {
    out.push_back({"container's versions", Verdict::kFailed,
                   "the command is " + cli->text() + ", the service " +
                       (service ? service->text() : std::string{"unknown"}),
                   std::string{"restart it (ends all containers): "} + kRestart});
  }
  return out;
}

Findings apple_status_findings(std::string_view status_json) {
  rapidjson::Document document;
  std::string status;
  if (parse(status_json, document)) {
    status = text(document, "status");
    // From 1.4.1 on the object is nested: one level is looked into.
    if (status.empty() && document.IsObject()) {
      for (const auto& member : document.GetObject()) {
        if (status.empty()) status = text(member.value, "status");
      }
    }
  }
  if (status == "running") return {{"container's service", Verdict::kOk, status, {}}};
  return {{"container's service", Verdict::kFailed, status.empty() ? "no answer" : status,
           "container system start, as the user who runs Nomad"}};
}

Findings apple_findings(EventLoop& loop, const DoctorOptions& options) {
  const auto output = [&](std::vector<std::string> argv) {
    auto result = run_and_wait(loop, std::move(argv), options.timeout);
    return result && ok(*result) ? trimmed(std::move(result->out)) : std::string{};
  };
  Findings out = macos_findings(output({"sw_vers", "-productVersion"}), output({"uname", "-m"}));
  const auto add = [&out](Findings more) {
    for (Finding& finding : more) out.push_back(std::move(finding));
  };
  const std::string cli = find_apple_cli(options.config.container_path, usual_apple_places());
  const auto ask = [&](const AppleCall& call) {
    return run_and_wait(loop, call.argv(cli), options.timeout, apple_cli_environment());
  };
  const auto version = ask(AppleCall::system_version());
  if (!version) {
    add({{"container", Verdict::kFailed, version.error().message(),
          std::string{kInstall} + ", or give --container-path"}});
    return out;
  }
  add(apple_version_findings(version->out));
  // Its exit code only repeats what the JSON says.
  const auto status = ask(AppleCall::system_status());
  if (status) {
    add(apple_status_findings(status->out));
  } else {
    add({{"container's service", Verdict::kFailed, status.error().message(), kRestart}});
  }
  const auto rosetta = run_and_wait(loop, {"arch", "-x86_64", "/usr/bin/true"}, options.timeout);
  if (rosetta && ok(*rosetta)) {
    add({{"Rosetta", Verdict::kOk, "amd64 images can run", {}}});
  } else {
    add({{"Rosetta", Verdict::kWarning, "missing: amd64 images cannot run",
          "softwareupdate --install-rosetta"}});
  }
  return out;
}

}  // namespace ndc::runtime
