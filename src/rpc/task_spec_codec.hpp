// A task as Nomad sends it, into the model.
#pragma once

#include <optional>

#include "model/error.hpp"
#include "model/exec.hpp"
#include "model/task_spec.hpp"
#include "model/usage.hpp"
#include "nomad/base/base.pb.h"
#include "rpc/wire.hpp"

namespace ndc::rpc {

// kInvalidConfig where the job's config block cannot be decoded or the task has no id.
Expected<TaskSpec> to_task_spec(const wire::TaskConfig& config);

// A zero timeout is none.
ExecRequest to_exec_request(const wire::ExecTaskRequest& request);
ExecRequest to_exec_request(const wire::ExecTaskStreamingRequest::Setup& setup);
TerminalSize to_terminal_size(const wire::ExecTaskStreamingRequest::TerminalSize& size);

// None in launches that only validate the configuration.
std::optional<NodeCompute> to_node_compute(
    const hashicorp::nomad::plugins::base::proto::SetConfigRequest& request);

}  // namespace ndc::rpc
