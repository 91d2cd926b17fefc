// The shape of a configuration block, as data: which keys there are and of what type. One table per
// block (plugin_config.cpp, task_config.cpp) serves the schema that Nomad gets and the reader that
// takes the decoded values apart, so the two cannot drift.
#pragma once

#include <string>
#include <vector>

namespace ndc {

enum class SettingType {
  kString,
  kNumber,
  kBool,
  kStringList,
  kStringMap,  // `k { a = "b" }`, `k = { a = "b" }`, repeated blocks, or a computed map
  kWords,      // a string or a list of strings
  kBlock,
  kBlockList,
};

struct Setting {
  std::string key;
  SettingType type = SettingType::kString;
  bool required = false;
  std::vector<Setting> nested;  // of a block
};

using Schema = std::vector<Setting>;

}  // namespace ndc
