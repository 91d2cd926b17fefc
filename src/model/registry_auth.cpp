#include "model/registry_auth.hpp"

#include "model/image_reference.hpp"

namespace ndc {

std::string registry_host(std::string_view server_address) {
  if (const std::size_t scheme = server_address.find("://"); scheme != std::string_view::npos) {
    server_address.remove_prefix(scheme + 3);
  }
  std::string host{server_address.substr(0, server_address.find('/'))};
  if (host == "index.docker.io" || host == "registry-1.docker.io") host = "docker.io";
  return host;
}

Expected<std::optional<RegistryAuth>> credentials_for(
    std::string_view image, const std::optional<RegistryAuth>& of_task,
    const std::optional<RegistryAuth>& of_plugin) {
  if (!of_task && !of_plugin) return std::optional<RegistryAuth>{};
  const auto reference = parse_image_reference(image);
  if (!reference) {
    if (of_task) return fail(reference.error());
    return std::optional<RegistryAuth>{};  // an image id: nothing to pull
  }
  if (of_task) {
    RegistryAuth auth = *of_task;
    const std::string host = registry_host(auth.server_address);
    if (!host.empty() && host != reference->registry) {
      return fail({.code = ErrorCode::kInvalidConfig,
                   .what = "use setting",
                   .on = "auth.server_address",
                   .cause = "the credentials are for " + quoted(host) + ", the image is on " +
                            quoted(reference->registry),
                   .hint = "name the image's registry, or leave server_address out"});
    }
    auth.server_address = reference->registry;
    return std::optional{std::move(auth)};
  }
  RegistryAuth auth = *of_plugin;
  const std::string host =
      auth.server_address.empty() ? "docker.io" : registry_host(auth.server_address);
  if (host != reference->registry) return std::optional<RegistryAuth>{};
  auth.server_address = host;
  return std::optional{std::move(auth)};
}

}  // namespace ndc
