// The bidirectional call behind `nomad alloc exec`.
#pragma once

#include <memory>

#include <grpcpp/support/server_callback.h>

#include "actors/driver.hpp"
#include "rpc/stopping.hpp"
#include "rpc/wire.hpp"

namespace ndc::rpc {

using ExecReactor =
    grpc::ServerBidiReactor<wire::ExecTaskStreamingRequest, wire::ExecTaskStreamingResponse>;

// Starts reading; the reactor frees itself. `driver` outlives every call.
ExecReactor* start_exec_call(actors::Driver& driver, std::shared_ptr<const Stopping> stopping);

}  // namespace ndc::rpc
