#include "rpc/grpc_log.hpp"

#include <grpcpp/version_info.h>

// From 1.65 on gRPC logs through abseil, to stderr and errors only: plain lines, which Nomad shows
// at debug.
#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 65
#include <grpc/support/log.h>
#include <spdlog/spdlog.h>
#endif

namespace ndc::rpc {

void route_grpc_log() {
#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 65
  gpr_set_log_function([](gpr_log_func_args* record) {
    const auto level = record->severity == GPR_LOG_SEVERITY_ERROR  ? spdlog::level::warn
                       : record->severity == GPR_LOG_SEVERITY_INFO ? spdlog::level::debug
                                                                   : spdlog::level::trace;
    spdlog::log(level, "grpc: {}", record->message);
  });
#endif
}

}  // namespace ndc::rpc
