// The role `monitor` of the program. One runs beside every task on Apple's runtime, so it must stay
// small: it is entered before the static objects of the libraries come to life. ELF runs
// initialisers by priority, Mach-O in the order of the objects: this file is the first.
#include <unistd.h>

#include <string_view>

#include "runtime/monitor_process.hpp"

namespace {

// C runtimes hand argc and argv to initialisers.
__attribute__((constructor(101))) void become_monitor(int argc, char** argv) {
  if (argc > 1 && std::string_view{argv[1]} == ndc::runtime::kMonitorRole) {
    ::_exit(ndc::runtime::monitor_main(argc - 2, argv + 2));
  }
}

}  // namespace
