// What makes a node unfit for Apple's container, and the command that cures it: each rule once, for
// the probe and for the doctor. Pure: it judges what the system and the CLI have said.
#pragma once

#include <optional>
#include <string>

#include "model/version_number.hpp"
#include "runtime/process.hpp"

namespace ndc::runtime {

struct AppleFault {
  std::string what;
  std::string cure;
  std::string text() const { return what + ": " + cure; }
};

// For who has no CLI, or one that is of no use.
inline constexpr const char* kInstallApple =
    "brew install container, or install the package of "
    "https://github.com/apple/container/releases";
inline constexpr const char* kRestartApple =
    "restart it when no container is needed: container system stop && container system start";

// nullopt: nothing is wrong with it.
std::optional<AppleFault> macos_fault(const VersionNumber& macos);
std::optional<AppleFault> cli_fault(const VersionNumber& cli);
// `daemon` empty: its service is down, which the status tells, or says nothing that can be read.
std::optional<AppleFault> versions_fault(const VersionNumber& cli,
                                         const std::optional<VersionNumber>& daemon);
// The end of `container system status --format json`.
std::optional<AppleFault> service_fault(const CommandResult& status);

}  // namespace ndc::runtime
