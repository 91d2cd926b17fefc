// The directory in which durable per-task files live, and names below it.
#pragma once

#include <string>
#include <string_view>

#include "model/error.hpp"

namespace ndc::runtime {

// What may be the name of a file there: no path, nothing hidden.
bool is_state_name(std::string_view name);

// Makes `path`, 0700, with what is above it. Refuses one that is not ours or that others can write
// to. The error is kInternal.
Expected<void> make_private_directory(const std::string& path);

// Makes `path` a file, 0600, with that content; the old one stays where it cannot. Not synced. The
// error is kInternal, or recoverable where the disk is full.
Expected<void> replace_file(const std::string& path, std::string_view content);

Error state_error(const std::string& path, const std::string& cause);
// `error` is an errno. One that passes by itself (a full disk, no descriptors) is recoverable.
Error state_error(const std::string& path, int error);

// The hint of errors that a full disk causes.
inline constexpr const char* kDiskFull = "the node's disk is full";
// Nothing more can be written where `path` is.
bool disk_is_full(const std::string& path);

}  // namespace ndc::runtime
