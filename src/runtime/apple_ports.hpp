// What of a group's ports is published, within the rules of Apple's CLI: at most 64 entries, no
// port twice whatever the host's address, no port 0 or 1. Pure.
#pragma once

#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/task_config.hpp"
#include "model/task_spec.hpp"
#include "model/version_number.hpp"

namespace ndc::runtime {

// Values of --publish: "10.0.0.1:8080:80/tcp", "…/udp". With network_mode "host" all ports of the
// group, one to one.
Expected<std::vector<std::string>> apple_ports(const TaskSpec& spec, const TaskConfig& config,
                                               const VersionNumber& version);

}  // namespace ndc::runtime
