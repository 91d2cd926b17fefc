// The services that a host expects of every plugin process: controller, broker and stdio.
#pragma once

#include <memory>
#include <vector>

#include <grpcpp/impl/codegen/service_type.h>

#include "rpc/stopping.hpp"

namespace ndc::rpc {

std::vector<std::unique_ptr<grpc::Service>> make_plugin_services(
    std::shared_ptr<Stopping> stopping);

}  // namespace ndc::rpc
