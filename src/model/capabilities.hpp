// Which settings each engine can honour, from which version on: the one table behind the refusal of
// a task, the driver.container.feature.* attributes and the table in the documentation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "model/fingerprint.hpp"
#include "model/task_config.hpp"
#include "model/version_number.hpp"

namespace ndc {

struct Engine {
  enum class Kind { kApple, kPodman };
  Kind kind = Kind::kPodman;
  // nullopt while the engine has not said it: then only what no version can do is refused.
  std::optional<VersionNumber> version;
  // "Apple's container 1.2.2": how every refusal names it.
  std::string text() const;
};

struct EngineSupport {
  std::optional<VersionNumber> since;  // nullopt: no version
  const char* instead = "";            // what to use where it is not there
};

struct Capability {
  const char* key;      // of the task's config, or what it stands for in the documentation
  const char* feature;  // name of the attribute; may be empty
  // What the task gives as the setting, as a job author would write it; nullopt: nothing. Never a
  // secret, for it is part of the refusal.
  std::optional<std::string> (*value)(const TaskConfig& task);
  EngineSupport apple;
  EngineSupport podman;
};

const std::vector<Capability>& capabilities();

// kUnsupported for each setting that the task uses and the engine cannot do, with key, value,
// engine, version and the alternative.
std::vector<Error> unsupported_settings(const TaskConfig& task, const Engine& engine);

// "driver.container.feature.<name>" for every feature of the table.
Attributes feature_attributes(const Engine& engine);

}  // namespace ndc
