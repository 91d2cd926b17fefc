// Linux capabilities by name, as jobs and operators write them.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"

namespace ndc {

inline constexpr const char* kAllCaps = "ALL";

// "CAP_NET_ADMIN" for "net_admin", "NET_ADMIN" or "cap_net_admin"; "ALL" for "all". Unknown names
// are kInvalidConfig.
Expected<std::string> capability_name(std::string_view text);

// What a task may add where the operator says nothing: what Podman gives every container, and what
// Nomad's docker driver allows.
const std::set<std::string>& default_allowed_caps();

}  // namespace ndc
