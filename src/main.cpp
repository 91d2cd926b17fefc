// The plugin's program: builds the parts, joins them, and serves until the host asks it to go.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <spdlog/spdlog.h>

#include "actors/driver_system.hpp"
#include "metrics/prometheus_metrics.hpp"
#include "model/version.hpp"
#include "rpc/handshake.hpp"
#include "rpc/hclog.hpp"
#include "rpc/server.hpp"
#include "runtime/crash_point.hpp"
#include "runtime/doctor.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/make_runtime.hpp"
#include "runtime/process.hpp"
#include "runtime/roles.hpp"

namespace {

constexpr const char* kUsage =
    "nomad-driver-container is a task driver plugin for HashiCorp Nomad: it runs tasks as\n"
    "containers. A Nomad client starts it; it is not for direct use.\n"
    "\n"
    "Put it into the client's plugin_dir, add `plugin \"nomad-driver-container\" {}` to the\n"
    "agent's configuration and write `driver = \"container\"` in jobs.\n"
    "\n"
    "  doctor     check whether tasks can run on this host (doctor --help)\n"
    "  --version  print the version\n"
    "  --help     print this text\n";

// What it does besides, for people, by its first argument.
struct Subcommand {
  std::string_view name;
  int (*run)(const std::vector<std::string>& arguments);
};
#ifdef NDC_CRASH_POINTS
int list_crash_points(const std::vector<std::string>&) {
  for (const char* point : ndc::kCrashPoints) std::puts(point);
  return 0;
}
#endif

constexpr Subcommand kSubcommands[] = {
    {"doctor", ndc::runtime::doctor},
#ifdef NDC_CRASH_POINTS
    {"crash-points", list_crash_points},
#endif
};

int run_plugin() {
  // Before there are threads, as it also removes from the environment what children must not see.
  const auto request = ndc::rpc::HandshakeRequest::from_environment();
  if (!request) {
    spdlog::error("{}", request.error().message());
    return 1;
  }
  ndc::rpc::clear_handshake_environment();
  ndc::runtime::keep_descriptors_from_children();
  ndc::runtime::allow_more_descriptors();

  // The loop outlives the driver, whose runtimes work on it.
  const auto loop = std::make_shared<ndc::runtime::EventLoop>();
  ndc::actors::DriverOptions options;
  options.make_runtime = [loop](const ndc::PluginConfig& config) {
    return ndc::runtime::make_runtime(config, loop);
  };
  const auto metrics = std::make_shared<ndc::metrics::PrometheusMetrics>();
  options.metrics = metrics;
  options.serve_metrics = [metrics](const std::string& address) { return metrics->serve(address); };
  // Nomad starts a plugin again that has ended, and recovers its tasks.
  options.failed = [] { ::kill(::getpid(), SIGTERM); };
  const auto driver = ndc::actors::make_driver(std::move(options));
  const int code = ndc::rpc::serve(*driver, *request);
  // Calls of the engine and gRPC's threads may still be at work, and destructors, those of static
  // objects too, would take away what they use. The tasks go on without this process.
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto code = ndc::runtime::run_role(argc, argv)) return *code;
  const std::vector<std::string> arguments(argv + (argc > 1 ? 2 : argc), argv + argc);
  for (const Subcommand& subcommand : kSubcommands) {
    if (argc > 1 && subcommand.name == argv[1]) return subcommand.run(arguments);
  }
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
