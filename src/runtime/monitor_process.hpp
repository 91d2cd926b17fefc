// The program `nomad-driver-container monitor`: one small process per task on Apple's runtime. It
// holds the attached CLI, drains it at once, delivers its output into the log collector's FIFOs and
// keeps its exit status; see monitor_files.hpp for what it leaves and says. It never signals the
// CLI while the container exists: killing the CLI would lose the exit status and not the workload.
//
// Nothing in it may need more than libc: it is entered before the rest of the program has been
// initialised, and one runs per task.
#pragma once

namespace ndc::runtime {

// The program's first argument.
inline constexpr const char* kMonitorRole = "monitor";

// monitor DIRECTORY SOCKET STDOUT_FIFO STDERR_FIFO LIMIT [--tty] -- CLI [WORDS…]
// monitor DIRECTORY SOCKET STDOUT_FIFO STDERR_FIFO LIMIT --deliver
//
// Returns in the caller's process once the monitor listens on its socket (0), or could not be set
// up (1, with the reason on stderr, and no process left); the monitor itself goes on in a process
// of its own and ends there. With --deliver it only hands over what an earlier monitor had spooled.
int monitor_main(int argc, char** argv);

}  // namespace ndc::runtime
