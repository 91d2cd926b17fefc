// OCI image references: taken apart and put into the one form in which they can be compared.
#pragma once

#include <string>
#include <string_view>

#include "model/error.hpp"

namespace ndc {

struct ImageReference {
  std::string registry;    // "docker.io", "127.0.0.1:5000"
  std::string repository;  // "library/redis"
  std::string tag;         // empty with a digest alone
  std::string digest;      // "sha256:…", or empty

  // "docker.io/library/redis:7", "…@sha256:…": what allowed_images globs are matched against.
  std::string text() const;
  bool operator==(const ImageReference&) const = default;
};

// Without a prefix such as "docker://", which Nomad's docker driver takes and engines do not. None
// is left, however many there were: who asks again gets what was checked.
std::string_view without_transport(std::string_view text);

// Docker's rules: without a registry it is docker.io, there "library/" is added to a single name,
// and without tag and digest the tag is "latest". A transport prefix such as "docker://" is taken
// off. kInvalidConfig for what is no reference (upper-case names, bad characters, empty parts).
Expected<ImageReference> parse_image_reference(std::string_view text);

}  // namespace ndc
