// Starts the workload's process: descriptors, terminal, limits, sandbox, exec.
#pragma once

#include <sys/types.h>

#include <string>

#include "standin/files.hpp"
#include "standin/plan.hpp"

namespace standin {

struct Workload {
  pid_t pid = -1;
  Fd out;             // with a terminal: its master
  Fd err;             // unused with a terminal
  std::string error;  // why it did not start
};

/// `input` becomes its stdin if it is valid and there is no terminal, else stdin is empty.
Workload start_workload(const Plan& plan, Fd input);

}  // namespace standin
