// One run of an engine's CLI as others may know of it: what it was, how it ended, how long it took.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/container_runtime.hpp"
#include "runtime/process.hpp"

namespace ndc::runtime {

// The subcommand of a command line: "run", "container inspect". Of a fixed set, as it is made of
// our own words only: `argv` is the program, options in one word each, then the subcommand.
std::string call_name(const std::vector<std::string>& argv);

// `done`, and the sink is told first. For a call that begins now.
std::function<void(Expected<CommandResult>)> timed(
    const std::vector<std::string>& argv, const CallSink& sink,
    std::function<void(Expected<CommandResult>)> done);

}  // namespace ndc::runtime
