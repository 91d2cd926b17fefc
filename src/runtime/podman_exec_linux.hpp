// Commands in a running container: `podman exec`, with a way to end what it started inside.
#pragma once

#include <memory>

#include "model/task_handle.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/podman_cli.hpp"

namespace ndc::runtime {

// Loop thread only.
Expected<std::shared_ptr<ExecSession>> podman_exec(EventLoop& loop, const PodmanCli& cli,
                                                   const ContainerRef& container,
                                                   const ExecRequest& request,
                                                   std::shared_ptr<ExecClient> client);

}  // namespace ndc::runtime
