// Faults on request: one file per subcommand in the state directory's `faults`, so that a running
// test can switch them on and off. README.md has the format.
#pragma once

#include <optional>
#include <string>

#include "standin/store.hpp"

namespace standin {

struct Fault {
  std::string of;    // the file that it is from: "image-pull", "all"
  std::string kind;  // hang, wait, slow, xpc, garbage, truncated, exit, die, keychain, …
  long number = 0;   // milliseconds or an exit code
  std::string text;
  std::string path;  // of the file that asked for it
};

/// The fault of `command` ("image pull"), or of `all`; counts down a limited one.
std::optional<Fault> take_fault(const Store& store, std::string_view command);

/// The state that is to be reported for a container instead of its own.
std::string forced_state(const Store& store, const std::string& id);

/// `faults/no-start-dates` exists: no container is said to have been started at some time.
bool hides_start_dates(const Store& store);

/// Makes the daemon crash if `faults/daemon-crash` asks for it: containers live on unknown to it.
/// True if this call is the one that meets the crash.
bool crash_daemon(const Store& store);

/// `faults/daemon-down` exists.
bool daemon_is_down(const Store& store);

}  // namespace standin
