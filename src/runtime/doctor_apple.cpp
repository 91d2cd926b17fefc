// Apple's container, judged by what its CLI says.
#include <string>
#include <utility>

#include "model/version_number.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/apple_environment.hpp"
#include "runtime/apple_health.hpp"
#include "runtime/apple_json.hpp"
#include "runtime/doctor_checks.hpp"

namespace ndc::runtime {
namespace {

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \r\n\t") + 1);
  return text;
}

}  // namespace

Findings macos_findings(std::string_view version, std::string_view machine) {
  const auto number = parse_version(version);
  Findings out;
  if (!number) {
    out.push_back({"operating system", Verdict::kFailed, "no macOS", "use a Mac"});
  } else if (const auto fault = macos_fault(*number)) {
    out.push_back({"operating system", Verdict::kFailed, fault->what, fault->cure});
  } else {
    out.push_back({"operating system", Verdict::kOk, "macOS " + number->text(), {}});
  }
  if (machine != "arm64") {
    out.push_back({"processor", Verdict::kFailed, std::string{machine} + ", no Apple silicon",
                   "use a Mac with Apple silicon"});
  }
  return out;
}

Findings apple_version_findings(std::string_view version_json) {
  const auto versions = parse_apple_versions(version_json);
  const auto cli = versions ? parse_version(versions->cli) : std::nullopt;
  if (!cli) {
    return {
        {"container", Verdict::kFailed, "container system version gave no version", kInstallApple}};
  }
  if (const auto fault = cli_fault(*cli)) {
    return {{"container", Verdict::kFailed, fault->what, fault->cure}};
  }
  Findings out{{"container", Verdict::kOk, "version " + cli->text(), {}}};
  const auto service = parse_version(versions->daemon);
  if (const auto fault = versions_fault(*cli, service)) {
    out.push_back({"container's versions", Verdict::kFailed, fault->what, fault->cure});
  } else if (service) {
    out.push_back({"container's versions", Verdict::kOk, "command and service are the same", {}});
  }
  return out;
}

Findings apple_status_findings(const CommandResult& status) {
  if (const auto fault = service_fault(status)) {
    return {{"container's service", Verdict::kFailed, fault->what,
             fault->cure + ", as the user who runs Nomad"}};
  }
  return {{"container's service", Verdict::kOk, "running", {}}};
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
          std::string{kInstallApple} + ", or give --container-path"}});
    return out;
  }
  add(apple_version_findings(version->out));
  const auto status = ask(AppleCall::system_status());
  if (status) {
    add(apple_status_findings(*status));
  } else {
    add({{"container's service", Verdict::kFailed, status.error().message(), kRestartApple}});
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
