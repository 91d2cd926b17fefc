// The plugin's program: builds the parts, joins them, and serves until the host asks it to go.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string_view>

#include <spdlog/spdlog.h>

#include "actors/driver_system.hpp"
#include "model/version.hpp"
#include "rpc/handshake.hpp"
#include "rpc/hclog.hpp"
#include "rpc/server.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/make_runtime.hpp"
#include "runtime/monitor_process.hpp"
#include "runtime/process.hpp"

namespace {

constexpr const char* kUsage =
    "nomad-driver-container is a task driver plugin for HashiCorp Nomad: it runs tasks as\n"
    "containers. A Nomad client starts it; it is not for direct use.\n"
    "\n"
    "Put it into the client's plugin_dir, add `plugin \"nomad-driver-container\" {}` to the\n"
    "agent's configuration and write `driver = \"container\"` in jobs.\n"
    "\n"
    "  --version  print the version\n"
    "  --help     print this text\n";

int run_plugin() {
  // Before there are threads, as it also removes from the environment what children must not see.
  const auto request = ndc::rpc::HandshakeRequest::from_environment();
  if (!request) {
    spdlog::error("{}", request.error().message());
    return 1;
  }
  ndc::rpc::clear_handshake_environment();
  ndc::runtime::keep_descriptors_from_children();

  // The loop outlives the driver, whose runtimes work on it.
  const auto loop = std::make_shared<ndc::runtime::EventLoop>();
  ndc::actors::DriverOptions options;
  options.make_runtime = [loop](const ndc::PluginConfig& config) {
    return ndc::runtime::make_runtime(config, loop);
  };
  const auto driver = ndc::actors::make_driver(std::move(options));
  return ndc::rpc::serve(*driver, *request);
}

// A monitor runs beside every task on Apple's runtime, so it must stay small: it is entered before
// the static objects of the libraries come to life, where the system orders initialisers, and
// before anything else runs anyway. C runtimes hand argc and argv to initialisers.
__attribute__((constructor(101))) void become_monitor(int argc, char** argv) {
  if (argc > 1 && std::string_view{argv[1]} == "monitor") {
    ::_exit(ndc::runtime::monitor_main(argc - 2, argv + 2));
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--version") {
      std::printf("nomad-driver-container %.*s\n", static_cast<int>(ndc::kVersion.size()),
                  ndc::kVersion.data());
      return 0;
    }
    if (flag == "--help" || flag == "-h") {
      std::fputs(kUsage, stdout);
      return 0;
    }
  }
  if (!ndc::rpc::started_by_nomad()) {
    std::fputs(kUsage, stderr);
    return 1;
  }
  ndc::rpc::install_hclog();
  try {
    return run_plugin();
  } catch (const std::exception& e) {
    spdlog::error("the plugin ends: {}", e.what());
    return 1;
  }
}
