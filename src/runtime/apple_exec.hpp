// Commands in a running container: `container exec`, with a way to end what it started inside,
// which killing the CLI does not.
#pragma once

#include <memory>

#include "model/task_handle.hpp"
#include "runtime/apple_cli.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

// Loop thread only.
Expected<std::shared_ptr<ExecSession>> apple_exec(const std::shared_ptr<AppleCli>& cli,
                                                  const ContainerRef& container,
                                                  const ExecRequest& request,
                                                  std::shared_ptr<ExecClient> client);

}  // namespace ndc::runtime
