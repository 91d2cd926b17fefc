// `nomad-driver-container doctor`: says whether tasks can run on this host, and the cure for what
// is in the way. It changes nothing, but for the container that --run starts and removes.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/plugin_config.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/process.hpp"

namespace ndc::runtime {

struct DoctorOptions {
  PluginConfig config;  // runtime and paths, as in the plugin's configuration
  std::chrono::nanoseconds timeout = std::chrono::seconds{20};  // of one call of the runtime
  std::string image;                                            // --run; empty: no trial
  bool json = false;
  bool help = false;
};

// The words after "doctor". kInvalidConfig.
Expected<DoctorOptions> parse_doctor_options(const std::vector<std::string>& words);

// The subcommand: prints, and returns 0 if tasks can run, 1 if not, 2 for wrong options.
int doctor(const std::vector<std::string>& words);

// For the checks: runs a command to its end and waits for it. Not on the loop thread.
Expected<CommandResult> run_and_wait(EventLoop& loop, std::vector<std::string> argv,
                                     std::chrono::nanoseconds timeout,
                                     std::vector<std::string> environment = child_environment());

}  // namespace ndc::runtime
