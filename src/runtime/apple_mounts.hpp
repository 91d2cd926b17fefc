// Mounts as Apple's CLI can make them. It shares whole directories with the virtual machine, once
// each: what would silently change a read-only mount, or could not be written down, is refused.
#pragma once

#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/version_number.hpp"
#include "runtime/podman_argv.hpp"

namespace ndc::runtime {

struct AppleMount {
  enum class Kind { kDirectory, kFile, kSocket, kVolume };
  Kind kind = Kind::kDirectory;
  std::string source;  // absolute host path, or the name of a volume
  std::string target;
  std::vector<std::string> options;  // "ro" and words that the guest's mount understands
  // The job expects nothing of the image in a new volume, which is how it is here anyway.
  bool no_copy = false;
  bool read_only() const;
  bool operator==(const AppleMount&) const = default;
};

// Looks at the host's files. Every error (kInvalidConfig, kUnsupported) names the mount.
Expected<std::vector<AppleMount>> apple_mounts(const std::vector<ContainerMount>& mounts,
                                               const VersionNumber& version);

// Pure: mounts of one directory that differ in being read-only.
std::vector<Error> share_conflicts(const std::vector<AppleMount>& mounts,
                                   const VersionNumber& version);

// The words for one mount, or why there are none.
Expected<std::vector<std::string>> mount_words(const AppleMount& mount,
                                               const VersionNumber& version);

}  // namespace ndc::runtime
