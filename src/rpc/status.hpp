// Errors as gRPC statuses, in the forms that Nomad's client understands.
#pragma once

#include <grpcpp/support/status.h>

#include "model/error.hpp"

namespace ndc::rpc {

// UNKNOWN with the error's text, as Go drivers answer. Never UNAVAILABLE or CANCELLED: the client
// takes those for the plugin's death.
grpc::Status to_status(const Error& error);

// For StartTask: a recoverable error also says so in the details, and then the task's restart
// policy applies.
grpc::Status to_start_status(const Error& error);

// UNAVAILABLE, for calls that are open while the plugin goes down at its host's request: they must
// look like a broken connection, so that the tasks are recovered by the next plugin.
grpc::Status shutting_down();

}  // namespace ndc::rpc
