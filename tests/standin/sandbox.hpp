// Where the workload runs. On Linux as root, with a root file system given: its own mount, PID and
// UTS namespaces and a chroot (sandbox_linux.cpp). Elsewhere it is a plain process of this machine.
#pragma once

#include <sys/types.h>

#include <string>

#include "standin/plan.hpp"

namespace standin {

/// Once, in a helper before it starts anything.
void sandbox_prepare_helper();

/// Gives the helper, and with it all that it starts from now on, a network with nothing but a
/// loopback interface, if that is planned and possible. Returns what went wrong, or nothing.
std::string sandbox_enter_network(const Plan& plan);

/// fork() into the place where the workload will live.
pid_t sandbox_fork(const Plan& plan);

/// In the child: becomes the user, sees the files. Returns what went wrong, or nothing.
std::string sandbox_enter(const Plan& plan);

/// Kills what the workload left behind, wherever it moved. Returns false when nothing is left.
bool sandbox_sweep();

}  // namespace standin
