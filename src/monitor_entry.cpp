// The monitor's way in (see runtime/monitor_process.hpp).
#include <unistd.h>

#include <string_view>

#include "runtime/monitor_process.hpp"

namespace {

// A monitor runs beside every task on Apple's runtime, so it must stay small: it is entered before
// the static objects of the libraries come to life, where the system orders initialisers, and
// before anything else runs anyway. C runtimes hand argc and argv to initialisers.
__attribute__((constructor(101))) void become_monitor(int argc, char** argv) {
  if (argc > 1 && std::string_view{argv[1]} == "monitor") {
    ::_exit(ndc::runtime::monitor_main(argc - 2, argv + 2));
  }
}

}  // namespace
