// Takes a container away, with its files and with what only waited for its end.
#pragma once

#include <memory>
#include <string>

#include "runtime/container_runtime.hpp"
#include "runtime/podman_cli.hpp"

namespace ndc::runtime {

// OK also where it is gone already, and where others still share its network: then the last of
// them takes it away. Loop thread only.
void remove_container(std::shared_ptr<PodmanCli> cli, std::string state_dir, ContainerRef container,
                      Done<void> done);

// A container of that name which podman's storage has, but not podman itself: one that was killed
// while it made the container leaves it so. OK where there is none. Loop thread only.
void remove_stored(const std::shared_ptr<PodmanCli>& cli, const std::string& name, Done<void> done);

}  // namespace ndc::runtime
