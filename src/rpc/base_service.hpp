// The service that every Nomad plugin has: identity, configuration schema, configuration.
#pragma once

#include <memory>

#include "actors/driver.hpp"
#include "nomad/base/base.grpc.pb.h"
#include "rpc/stopping.hpp"

namespace ndc::rpc {

inline constexpr const char* kDriverName = "container";  // `driver = "container"` in jobs
inline constexpr const char* kApiVersion = "v0.1.0";

class BaseService final
    : public hashicorp::nomad::plugins::base::proto::BasePlugin::CallbackService {
 public:
  BaseService(actors::Driver& driver, std::shared_ptr<const Stopping> stopping);

 private:
  using Context = grpc::CallbackServerContext;

  grpc::ServerUnaryReactor* PluginInfo(
      Context*, const hashicorp::nomad::plugins::base::proto::PluginInfoRequest*,
      hashicorp::nomad::plugins::base::proto::PluginInfoResponse* response) override;
  grpc::ServerUnaryReactor* ConfigSchema(
      Context*, const hashicorp::nomad::plugins::base::proto::ConfigSchemaRequest*,
      hashicorp::nomad::plugins::base::proto::ConfigSchemaResponse* response) override;
  grpc::ServerUnaryReactor* SetConfig(
      Context*, const hashicorp::nomad::plugins::base::proto::SetConfigRequest* request,
      hashicorp::nomad::plugins::base::proto::SetConfigResponse* response) override;

  actors::Driver& driver_;
  std::shared_ptr<const Stopping> stopping_;
};

}  // namespace ndc::rpc
