// What podman's exit code and stderr mean: an Error with its code and, where there is one, the
// cure. Pure. Podman's text is peer text: bounded, one line, valid UTF-8.
#pragma once

#include <string>
#include <string_view>

#include "model/error.hpp"
#include "model/task_exit.hpp"

namespace ndc::runtime {

// `what` and `on` as in Error ("start container", "nomad-web-0a1b2c3d").
Error podman_error(std::string what, std::string on, const ExitStatus& status,
                   std::string_view err);

bool says_no_such_container(std::string_view err);
// Of a container that an earlier call has made in the OCI runtime, and was killed over it.
bool says_made_already(std::string_view err);
// A name without a registry, for which this host's registries.conf has none either.
bool says_short_name_unknown(std::string_view err);
bool says_name_in_use(std::string_view err);
// The id of the container that has a name, where podman says so; else empty.
std::string holder_of_name(std::string_view err);
// Others share its network.
bool says_has_dependents(std::string_view err);
// It was about to kill it and found that it has ended, which it notes: the same again succeeds.
bool says_stopped_meanwhile(std::string_view err);

// The line that says why: the last "Error: …", else the last line. At most 600 bytes.
std::string podman_reason(std::string_view err);

}  // namespace ndc::runtime
