// The CLI's words for what went wrong, as our errors.
#pragma once

#include <string>
#include <string_view>

#include "model/error.hpp"
#include "model/task_exit.hpp"

namespace ndc::runtime {

// The last "Error: …" of its stderr, else the last line; one line, bounded, valid UTF-8.
std::string apple_reason(std::string_view err);

// An error of the right kind, with a cure where one is known.
Error apple_error(std::string what, std::string on, const ExitStatus& status, std::string_view err);

// Of this container, not of something that it needs.
bool says_container_not_found(std::string_view err, std::string_view id);
bool says_image_not_found(std::string_view err);
// A container of the name that was asked for.
bool says_already_exists(std::string_view err);
bool says_not_running(std::string_view err);
// The daemon does not answer: a failure of the engine, whatever was asked.
bool says_daemon_is_down(std::string_view err);
// The daemon took too long, in its own words, whatever the job's names say; no registry or network
// is to blame. Of a call that asks a registry itself the same words may be about that.
bool says_daemon_timed_out(std::string_view err);
// The last line has the shape of the CLI's own, whoever wrote it.
bool ends_like_cli_error(std::string_view err);
// The last line is the CLI's own about a failed start or attachment, not the workload's.
bool ends_with_cli_failure(std::string_view err);

}  // namespace ndc::runtime
