// Whether this node can run tasks with Apple's `container`, and if not, which command cures it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "model/fingerprint.hpp"
#include "model/plugin_config.hpp"
#include "model/version_number.hpp"
#include "runtime/apple_cli.hpp"

namespace ndc::runtime {

// Of this machine; nullopt where it is no Mac.
std::optional<VersionNumber> macos_version();

// Loop thread only. `macos`: as macos_version().
void apple_probe(const std::shared_ptr<AppleCli>& cli, const PluginConfig& config,
                 const std::optional<VersionNumber>& macos, std::function<void(Fingerprint)> done);

// Pure: what a version and the daemon's make of a node. `macos` empty: not on macOS.
Fingerprint apple_fingerprint(const VersionNumber& cli, const std::optional<VersionNumber>& daemon,
                              const std::optional<VersionNumber>& macos, bool volumes_enabled);

}  // namespace ndc::runtime
