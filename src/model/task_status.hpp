// A task's state as InspectTask shows it.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "model/task_exit.hpp"

namespace ndc {

enum class TaskState { kUnknown, kRunning, kExited };

// The address under which the task can be reached when it has a network of its own.
struct DriverNetwork {
  std::string address;
  std::map<std::string, int> ports;  // label → port inside the task
  bool auto_advertise = false;
};

struct TaskStatus {
  std::string id;
  std::string name;
  TaskState state = TaskState::kUnknown;
  WallTime started_at{};
  std::optional<TaskExit> exit;
  std::map<std::string, std::string> attributes;
  std::optional<DriverNetwork> network;
};

}  // namespace ndc
