#include "rpc/server.hpp"

#include <sys/stat.h>

#include <thread>
#include <utility>
#include <vector>

#include <grpc/support/time.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>

#include "rpc/base_service.hpp"
#include "rpc/driver_service.hpp"
#include "rpc/grpc_log.hpp"
#include "rpc/host_watch.hpp"
#include "rpc/plugin_services.hpp"
#include "rpc/signals.hpp"
#include "rpc/stopping.hpp"

namespace ndc::rpc {
namespace {

constexpr int kMaxReceivedBytes = 64 * 1024 * 1024;  // task configurations can be large
// The host waits two seconds for the process to end; a reader of an open stream, not at all.
constexpr std::chrono::milliseconds kGrace{200};
constexpr std::chrono::milliseconds kLongestExit{900};

class GrpcServer final : public Server {
 public:
  explicit GrpcServer(actors::Driver& driver)
      : base_{driver, stopping_}, driver_{make_driver_service(driver, stopping_, host_)} {
    plugin_ = make_plugin_services(stopping_);
  }

  bool listen(const std::string& socket_path) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
    builder.SetMaxReceiveMessageSize(kMaxReceivedBytes);
    builder.RegisterService(&base_);
    builder.RegisterService(driver_.get());
    for (const auto& service : plugin_) builder.RegisterService(service.get());
    const mode_t before = umask(077);
    server_ = builder.BuildAndStart();
    umask(before);
    if (!server_) return false;
    server_->GetHealthCheckService()->SetServingStatus("plugin", true);
    stop_when_abandoned(host_, stopping_);
    return true;
  }

  void wait_for_stop() override { stopping_->wait(); }

  void stop(std::chrono::milliseconds grace) override {
    stopping_->ask();
    // Not of the wall clock, which may be set meanwhile.
    server_->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                   gpr_time_from_millis(grace.count(), GPR_TIMESPAN)));
  }

 private:
  std::shared_ptr<Stopping> stopping_ = std::make_shared<Stopping>();
  std::shared_ptr<HostWatch> host_ = std::make_shared<HostWatch>();
  BaseService base_;
  std::unique_ptr<grpc::Service> driver_;
  std::vector<std::unique_ptr<grpc::Service>> plugin_;
  std::unique_ptr<grpc::Server> server_;
};

// Something that hangs on the way out must not cost the clean exit: the host would kill the process
// and leave the socket behind.
void bound_the_exit(const SocketPlace& place) {
  std::thread{[socket = place.socket(), directory = place.directory()] {
    std::this_thread::sleep_for(kLongestExit);
    remove_socket_and_exit(socket.c_str(), directory.c_str());
  }}.detach();
}

Expected<void> run(actors::Driver& driver, const HandshakeRequest& request) {
  auto place = SocketPlace::make(request.socket_dir);
  if (!place) return fail(place.error());
  handle_signals(place->socket(), place->directory());

  auto server = Server::start(driver, place->socket());
  if (!server) return fail(server.error());
  if (!request.socket_group.empty()) {
    if (auto shared = place->share_with(request.socket_group); !shared) return shared;
  }
  if (auto done = announce(handshake_line(place->socket(), request)); !done) return done;
  spdlog::debug("serving on {}", place->socket());

  (*server)->wait_for_stop();
  spdlog::debug("the host asked the plugin to end; tasks keep running");
  bound_the_exit(*place);
  driver.shutdown();  // ends its calls: the server's shutdown waits for every one
  (*server)->stop(kGrace);
  return {};
}

}  // namespace

Expected<std::unique_ptr<Server>> Server::start(actors::Driver& driver,
                                                const std::string& socket_path) {
  route_grpc_log();
  auto server = std::make_unique<GrpcServer>(driver);
  if (!server->listen(socket_path)) {
    return fail({.code = ErrorCode::kInternal,
                 .what = "listen on",
                 .on = socket_path,
                 .cause = "gRPC could not open the socket"});
  }
  return std::unique_ptr<Server>{std::move(server)};
}

int serve(actors::Driver& driver, const HandshakeRequest& request) {
  const auto done = run(driver, request);
  if (done) return 0;
  spdlog::error("{}", done.error().message());
  return 1;
}

}  // namespace ndc::rpc
