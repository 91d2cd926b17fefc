// Credentials for a registry. The password is a secret: it is never logged, never an argument.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "model/error.hpp"

namespace ndc {

struct RegistryAuth {
  std::string username;
  std::string password;
  std::string server_address;  // empty: the registry of the image
  auto operator<=>(const RegistryAuth&) const = default;
};

// "https://index.docker.io/v1/" is docker.io: the host and port of a server address alone.
std::string registry_host(std::string_view server_address);

// The credentials for a pull of `image`, with server_address filled in: the task's, else the
// operator's if they are for this registry (without a server address they are for docker.io, as
// with `docker login`), else none. Credentials never go to another registry than the one that they
// name: for a task's that is kInvalidConfig.
Expected<std::optional<RegistryAuth>> credentials_for(std::string_view image,
                                                      const std::optional<RegistryAuth>& of_task,
                                                      const std::optional<RegistryAuth>& of_plugin);

}  // namespace ndc
