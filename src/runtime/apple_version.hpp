// The versions of Apple's `container` that this adapter knows, and what changed between them.
#pragma once

#include <string>

#include "model/capabilities.hpp"
#include "model/version_number.hpp"

namespace ndc::runtime {

inline constexpr VersionNumber kOldestApple{0, 11, 0};
inline constexpr VersionNumber kNewestApple{1, 2, 2};  // the newest whose behaviour was read

// As a refusal names it: what one version cannot do, another may.
inline std::string apple_name(const VersionNumber& v) {
  return Engine{Engine::Kind::kApple, v}.text();
}

// Files that are mounted come as hard links in 0.11, as a share of their whole directory later.
constexpr bool shares_parent_directories(const VersionNumber& v) {
  return v.major > 0 || v.minor >= 12;
}

// 0.11 has no capabilities to choose: every container has all.
constexpr bool gives_all_capabilities(const VersionNumber& v) {
  return v.major == 0 && v.minor < 12;
}

// Up to 0.12 the CLI traps on port 65535 of the host.
constexpr bool traps_on_last_port(const VersionNumber& v) { return v.major < 1; }

// 0.11 forwards the agent that its daemon's environment names, later ones that of the CLI's.
constexpr bool ssh_agent_is_the_daemons(const VersionNumber& v) {
  return !shares_parent_directories(v);
}

// Where --ssh puts the agent's socket in the container.
constexpr const char* ssh_agent_path(const VersionNumber& v) {
  return !shares_parent_directories(v) ? "/run/host-services/ssh-auth.sock"
                                       : "/var/host-services/ssh-auth.sock";
}

}  // namespace ndc::runtime
