#include "rpc/base_service.hpp"

#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/plugin_config.hpp"
#include "model/version.hpp"
#include "rpc/hcl_schema.hpp"
#include "rpc/msgpack_value.hpp"
#include "rpc/reactors.hpp"
#include "rpc/task_spec_codec.hpp"

namespace ndc::rpc {

namespace base = hashicorp::nomad::plugins::base::proto;

BaseService::BaseService(actors::Driver& driver, std::shared_ptr<const Stopping> stopping)
    : driver_{driver}, stopping_{std::move(stopping)} {}

grpc::ServerUnaryReactor* BaseService::PluginInfo(Context*, const base::PluginInfoRequest*,
                                                  base::PluginInfoResponse* response) {
  response->set_type(base::DRIVER);
  response->add_plugin_api_versions(kApiVersion);
  response->set_plugin_version(std::string{kVersion});
  response->set_name(kDriverName);
  return (new UnaryCall{response, stopping_})->end(grpc::Status::OK);
}

grpc::ServerUnaryReactor* BaseService::ConfigSchema(Context*, const base::ConfigSchemaRequest*,
                                                    base::ConfigSchemaResponse* response) {
  *response->mutable_spec() = to_hclspec(plugin_schema());
  return (new UnaryCall{response, stopping_})->end(grpc::Status::OK);
}

grpc::ServerUnaryReactor* BaseService::SetConfig(Context*, const base::SetConfigRequest* request,
                                                 base::SetConfigResponse* response) {
  auto* call = new UnaryCall{response, stopping_};
  auto config = decode_msgpack(request->msgpack_config()).and_then(decode_plugin_config);
  if (!config) {
    spdlog::error("{}", config.error().message());
    return call->end(to_status(config.error()));
  }
  driver_.set_config(std::move(*config), to_node_compute(*request), call->acknowledgement());
  return call;
}

}  // namespace ndc::rpc
