// A podman that is killed while it starts a container leaves conmon behind, and below it the
// workload that waits to be let go; a conmon that is killed then, the workload alone. Podman has
// not written down yet that they exist, so `podman rm` removes the container and not them.
#pragma once

#include <string>

#include "runtime/podman_files.hpp"

namespace ndc::runtime {

// Kills every conmon of this container, what is below it, and what is in the cgroup of this id
// (empty: not known). Reads all of /proc: for what went wrong only.
void end_abandoned(const PodmanFiles& files, const std::string& container_id);

// Only what is in that cgroup: the files are a successor's.
void end_abandoned(const std::string& container_id);

}  // namespace ndc::runtime
