// A random task, and what its settings name of this host, on the driver's own way: decoded,
// resolved, made into an argv.
#pragma once

#include <string>
#include <vector>

#include "cli/random_text.hpp"
#include "model/plugin_config.hpp"
#include "runtime/apple_argv.hpp"
#include "runtime/machine.hpp"

namespace ndc::test {

// The directories of an allocation, with names that mean something to the CLI, and others of the
// host.
class Places {
 public:
  Places();
  std::string alloc_dir() const { return directory_ / "alloc"; }
  std::string host_dir() const { return directory_ / "host"; }
  // Relative to the task's directory, as a job writes them. Some are not there, or not to be had.
  const std::vector<std::string>& own() const { return own_; }
  const std::vector<std::string>& absolute() const { return absolute_; }

 private:
  TemporaryDirectory directory_;
  std::vector<std::string> own_;
  std::vector<std::string> absolute_;
};

// Not to be moved once it is built: the request points to the rest.
struct RandomTask {
  TaskSpec spec;
  TaskConfig config;
  runtime::AppleRequest request;

  RandomTask(Generator& g, const Places& places, const VersionNumber& version);

  // The error of what the driver refuses.
  Expected<runtime::AppleArguments> build(const std::string& env_file);

 private:
  void fill_process(Generator& g);
  void fill_resources(Generator& g);
  void fill_network(Generator& g);
  void fill_machine(Generator& g);
  void fill_storage(Generator& g, const Places& places);
  Expected<void> take_paths();

  Value::Map storage_;  // the settings that name files, as the job has them
  PluginConfig::Volumes policy_;
};

}  // namespace ndc::test
