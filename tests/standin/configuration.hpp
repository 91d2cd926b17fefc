// From the options of `run` and `create` to the record of a container: what took effect, in one
// neutral form. The JSON families of the versions are views of it (view.hpp).
#pragma once

#include <string>

#include "standin/grammar.hpp"
#include "standin/json.hpp"
#include "standin/version.hpp"

namespace standin {

struct Image {
  std::string reference;  // normalised
  std::string digest;     // sha256:…
  uint64_t size = 9218;
  Json config;  // OCI: Env, Cmd, Entrypoint, WorkingDir, User, StopSignal
};

/// What every image holds that nobody described: PATH and /bin/sh.
Image default_image(const std::string& reference);

struct Context {
  Version version = kNewest;
  bool host = true;               // look at this machine's paths
  std::string volumes_directory;  // of the named volumes' disk images
  double now = 0;                 // Unix time
};

/// The platform that --platform, --arch, --os and CONTAINER_DEFAULT_PLATFORM ask for.
std::string wanted_platform(const Parsed& parsed);

/// Throws CliError(1) for what the CLI or the daemon rejects.
Json build_record(const Context& context, const Parsed& parsed, const Image& image);

}  // namespace standin
