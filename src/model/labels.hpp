// Labels that the driver puts on containers, so that people and the reaper can tell whose they are.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/task_spec.hpp"

namespace ndc {

inline constexpr const char* kLabelAllocId = "nomad.alloc_id";
inline constexpr const char* kLabelTaskId = "nomad.task_id";
inline constexpr const char* kLabelNodeId = "nomad.node_id";

// The three labels above, plus "nomad.<name>" for each of Nomad's facts whose name matches one of
// the globs in `extra`. The job's own labels are not in it.
std::map<std::string, std::string> driver_labels(const TaskSpec& spec,
                                                 const std::vector<std::string>& extra);

// Names that `extra_labels` may match, for error texts and docs.
const std::vector<std::string>& extra_label_names();

// Shell-style match with * and ?.
bool glob_match(std::string_view pattern, std::string_view text);

}  // namespace ndc
