#include "model/labels.hpp"

#include <algorithm>
#include <string_view>

namespace ndc {

const std::vector<std::string>& extra_label_names() {
  static const std::vector<std::string> names{"job_name",  "job_id",    "task_group_name",
                                              "task_name", "namespace", "node_name",
                                              "node_id",   "alloc_id"};
  return names;
}

std::map<std::string, std::string> driver_labels(const TaskSpec& spec,
                                                 const std::vector<std::string>& extra) {
  const std::map<std::string, const std::string*> facts{{"job_name", &spec.job_name},
                                                        {"job_id", &spec.job_id},
                                                        {"task_group_name", &spec.group_name},
                                                        {"task_name", &spec.name},
                                                        {"namespace", &spec.job_namespace},
                                                        {"node_name", &spec.node_name},
                                                        {"node_id", &spec.node_id},
                                                        {"alloc_id", &spec.alloc_id}};
  std::map<std::string, std::string> labels{
      {kLabelAllocId, spec.alloc_id}, {kLabelTaskId, spec.id}, {kLabelNodeId, spec.node_id}};
  for (const auto& [name, value] : facts) {
    const bool wanted =
        std::any_of(extra.begin(), extra.end(),
                    [&, &fact = name](const auto& glob) { return glob_match(glob, fact); });
    if (wanted) labels["nomad." + name] = *value;
  }
  return labels;
}

bool glob_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*') {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace ndc
