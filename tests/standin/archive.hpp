// Reads the names of images out of a tar archive, OCI layout or `docker save`.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace standin {

/// Of stdin if `path` is empty. Nothing if it is no such archive.
std::optional<std::vector<std::string>> references_in_archive(const std::string& path);

}  // namespace standin
