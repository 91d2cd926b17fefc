// What a user reads under "Recent Events" of an allocation.
#pragma once

#include <map>
#include <string>

#include "model/task_exit.hpp"

namespace ndc {

struct TaskEvent {
  std::string task_id;
  std::string alloc_id;
  std::string task_name;
  WallTime at{};
  std::string message;
  std::map<std::string, std::string> annotations;
};

}  // namespace ndc
