// A podman that is killed while it starts a container leaves conmon behind, and below it the
// workload that waits to be let go. Podman has not written down yet that they exist, so `podman rm`
// removes the container and not them.
#pragma once

#include "runtime/podman_files.hpp"

namespace ndc::runtime {

// Kills every conmon of this container, and what is below it. Reads all of /proc: for what went
// wrong only.
void end_abandoned(const PodmanFiles& files);

}  // namespace ndc::runtime
