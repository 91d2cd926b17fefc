// `network_mode = "task:<name>"`: where the other task's machine is. Nomad starts the tasks of a
// group together, so it may not run yet.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "model/task_spec.hpp"
#include "runtime/apple_argv.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

// Waits, for at most `patience`, until the task of the same allocation runs and has an address;
// then kTimeout, which names the task. A running container without any network never gets one:
// kInvalidConfig at once. Loop thread only.
void await_apple_peer(std::shared_ptr<AppleCli> cli, std::shared_ptr<const TaskSpec> spec,
                      const std::string& task, std::chrono::nanoseconds patience,
                      Done<ApplePeer> done);

}  // namespace ndc::runtime
