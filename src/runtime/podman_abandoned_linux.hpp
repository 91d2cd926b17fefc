// A podman that is killed while it starts a container leaves conmon behind, and below it the
// workload that waits to be let go. Podman has not written down yet that they exist, so `podman rm`
// removes the container and not them.
#pragma once

#include "runtime/podman_files.hpp"

namespace ndc::runtime {

// The workload whose process id is in the container's files still lives below its conmon.
bool workload_lives(const PodmanFiles& files);

// Kills the conmon whose process id is in the container's files, and what is below it. Nothing
// where there is none, or where the id is another process's by now.
void end_abandoned(const PodmanFiles& files);

}  // namespace ndc::runtime
