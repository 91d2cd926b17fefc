// The process that stands for a virtual machine: owns one workload, copies its output first to the
// CLI that attached and then to the stored log, answers stop and kill. It outlives the CLI. Of an
// exec there is one as well, without log, state or socket.
#pragma once

#include <string>

#include "standin/files.hpp"
#include "standin/plan.hpp"

namespace standin {

/// Read by the parent of `container`, to give helpers a name of their own in the process list.
void remember_arguments(int argc, char** argv);

/// The CLI's ends. `control` first carries "started PID" or "error TEXT", in the end "exit CODE",
/// or "lost" if the daemon goes away; towards the helper "sig NUMBER" and "winsz ROWS COLUMNS".
struct Connection {
  Fd control;
  Fd in;
  Fd out;
  Fd err;
};

struct HelperOptions {
  bool attached = false;
  bool interactive = false;
  bool is_exec = false;
  long epoch = 0;
};

/// Forks twice; the helper is no child of the caller.
Connection launch_helper(const Plan& plan, const HelperOptions& options);

}  // namespace standin
