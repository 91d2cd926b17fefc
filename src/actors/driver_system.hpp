// Starts the actor system: the driver actor and everything it supervises, over any runtime. The
// public entry for main, tests and embedding programs.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "actors/driver.hpp"
#include "actors/message_faults.hpp"
#include "model/metrics.hpp"
#include "model/plugin_config.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::actors {

struct DriverOptions {
  // Makes the runtime that a configuration names. Cheap and without side effects: it also runs for
  // configurations that Nomad only validates.
  std::function<Expected<std::shared_ptr<runtime::ContainerRuntime>>(const PluginConfig&)>
      make_runtime;

  // Is told what happens; null: nobody is.
  std::shared_ptr<Metrics> metrics;
  // Puts the metrics where `metrics_address` says (empty: nowhere), for the configuration of a
  // launch that will run tasks. May block for milliseconds. Empty: the setting is refused.
  std::function<Expected<void>(const std::string& address)> serve_metrics;

  std::size_t workers = 4;

  // Supervision: so many restarts of one actor within the window; one more and its task fails.
  int max_restarts = 3;
  std::chrono::seconds restart_window{60};

  std::chrono::nanoseconds fingerprint_interval = std::chrono::seconds{30};

  // Called, on an actor's thread, when the root of the actors has failed: nothing is answered any
  // more, and the program had better end and recover its tasks anew. May be empty.
  std::function<void()> failed;

  // Faults between the actors; null, as in the plugin: none can be injected.
  std::shared_ptr<MessageFaults> message_faults;
};

std::unique_ptr<Driver> make_driver(DriverOptions options);

}  // namespace ndc::actors
