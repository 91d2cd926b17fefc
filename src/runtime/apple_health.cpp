#include "runtime/apple_health.hpp"

#include "runtime/apple_errors.hpp"
#include "runtime/apple_json.hpp"
#include "runtime/apple_version.hpp"

namespace ndc::runtime {
namespace {

constexpr VersionNumber kOldestMacos{26, 0, 0};
constexpr const char* kRunning = "running";

}  // namespace

std::optional<AppleFault> macos_fault(const VersionNumber& macos) {
  if (macos >= kOldestMacos) return std::nullopt;
  return AppleFault{"macOS " + macos.text() + " is too old for Apple's container",
                    "update it to " + std::to_string(kOldestMacos.major) +
                        " or newer: softwareupdate --list, then softwareupdate --install --all "
                        "--restart"};
}

std::optional<AppleFault> cli_fault(const VersionNumber& cli) {
  if (cli >= kOldestApple) return std::nullopt;
  return AppleFault{"Apple's container " + cli.text() + " is too old",
                    "install " + kOldestApple.text() +
                        " or newer: brew upgrade container, or the package of "
                        "https://github.com/apple/container/releases"};
}

std::optional<AppleFault> versions_fault(const VersionNumber& cli,
                                         const std::optional<VersionNumber>& daemon) {
  if (!daemon || *daemon == cli) return std::nullopt;
  return AppleFault{"Apple's container is " + cli.text() + ", its service still " + daemon->text(),
                    kRestartApple};
}

std::optional<AppleFault> service_fault(const CommandResult& result) {
  const auto status = parse_apple_status(result.out);
  const bool up = result.status == ExitStatus{Exited{0}};
  if (up && (!status || *status == kRunning)) return std::nullopt;
  // What is in the way, where it is more than that.
  const std::string why = status && *status != kRunning ? *status : apple_reason(result.err);
  std::string what = "the service of Apple's container is not running";
  if (!why.empty() && why != "not running") what += " (" + why + ")";
  return AppleFault{std::move(what), "container system start"};
}

}  // namespace ndc::runtime
