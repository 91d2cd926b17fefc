#include "rpc/plugin_services.hpp"

#include <atomic>
#include <utility>

#include "goplugin/plugin.grpc.pb.h"
#include "rpc/reactors.hpp"

namespace ndc::rpc {
namespace {

class Controller final : public plugin::GRPCController::CallbackService {
 public:
  explicit Controller(std::shared_ptr<Stopping> stopping) : stopping_{std::move(stopping)} {}

  // Answers first: the process ends when the answer is on its way.
  grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext*, const plugin::Empty*,
                                     plugin::Empty* response) override {
    auto* call = new UnaryCall{response, std::shared_ptr<const Stopping>{stopping_}};
    call->on_done([stopping = stopping_] { stopping->ask(); });
    return call->end(grpc::Status::OK);
  }

 private:
  std::shared_ptr<Stopping> stopping_;
};

// A host reopens nothing here, but logs the end of these streams: they stay open until cancelled.
class HeldBroker final : public grpc::ServerBidiReactor<plugin::ConnInfo, plugin::ConnInfo> {
 public:
  HeldBroker() { StartRead(&ignored_); }

 private:
  void OnReadDone(bool ok) override {
    if (ok) StartRead(&ignored_);
  }
  void OnCancel() override { Finish(given_up()); }
  void OnDone() override { delete this; }

  plugin::ConnInfo ignored_;
};

class Broker final : public plugin::GRPCBroker::CallbackService {
  grpc::ServerBidiReactor<plugin::ConnInfo, plugin::ConnInfo>* StartStream(
      grpc::CallbackServerContext*) override {
    return new HeldBroker;
  }
};

class HeldStdio final : public grpc::ServerWriteReactor<plugin::StdioData> {
  void OnCancel() override { Finish(given_up()); }
  void OnDone() override { delete this; }
};

class Stdio final : public plugin::GRPCStdio::CallbackService {
  grpc::ServerWriteReactor<plugin::StdioData>* StreamStdio(
      grpc::CallbackServerContext*, const google::protobuf::Empty*) override {
    return new HeldStdio;
  }
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> make_plugin_services(
    std::shared_ptr<Stopping> stopping) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(std::make_unique<Controller>(std::move(stopping)));
  services.push_back(std::make_unique<Broker>());
  services.push_back(std::make_unique<Stdio>());
  return services;
}

}  // namespace ndc::rpc
