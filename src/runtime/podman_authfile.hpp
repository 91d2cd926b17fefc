// The file in which Podman reads registry credentials. Its text is a secret.
#pragma once

#include <string>

#include "model/registry_auth.hpp"

namespace ndc::runtime {

// containers-auth.json(5) with one registry, auth.server_address.
std::string podman_authfile(const RegistryAuth& auth);

}  // namespace ndc::runtime
