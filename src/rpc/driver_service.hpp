// The task driver's service: decodes each request, hands it to the driver, encodes the answer.
#pragma once

#include <memory>

#include <grpcpp/impl/codegen/service_type.h>

#include "actors/driver.hpp"
#include "rpc/host_watch.hpp"
#include "rpc/stopping.hpp"

namespace ndc::rpc {

// `driver` outlives the service.
std::unique_ptr<grpc::Service> make_driver_service(actors::Driver& driver,
                                                   std::shared_ptr<const Stopping> stopping,
                                                   std::shared_ptr<HostWatch> host);

}  // namespace ndc::rpc
