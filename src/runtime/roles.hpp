// What a program does when it is run again as a process of its own: beside each task on Apple's
// `container` runs the monitor, and Podman's OCI runtime calls the hook that compares a container's
// mounts with what `volumes` allows. Both are the very executable that made the runtime.
#pragma once

#include <optional>
#include <string>

#include "model/error.hpp"

namespace ndc::runtime {

// To be called first in main, before threads and anything that a task would have to pay for:
//
//   if (const auto code = ndc::runtime::run_role(argc, argv)) return *code;
//
// The role's exit code where the first argument names one (`monitor`, `guard-mounts`): then there
// is nothing else to do. Otherwise nullopt, and runtimes that need roles can be made from here on.
[[nodiscard]] std::optional<int> run_role(int argc, char** argv);

// kUnsupported unless run_role() has been called: run again, this program would do whatever it does
// with arguments that it does not know, and could well end with 0.
Expected<void> need_role(std::string what, std::string on, const std::string& role);

}  // namespace ndc::runtime
