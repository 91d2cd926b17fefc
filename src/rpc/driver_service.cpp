#include "rpc/driver_service.hpp"

#include <utility>

#include <spdlog/spdlog.h>

#include "model/task_config.hpp"
#include "nomad/drivers/driver.grpc.pb.h"
#include "rpc/exec_call.hpp"
#include "rpc/hcl_schema.hpp"
#include "rpc/reactors.hpp"
#include "rpc/task_codec.hpp"
#include "rpc/task_spec_codec.hpp"
#include "rpc/wire_time.hpp"

namespace ndc::rpc {
namespace {

// How many values a slow reader may lag behind before the oldest are dropped.
constexpr std::size_t kFingerprintBacklog = 2;
constexpr std::size_t kUsageBacklog = 4;
constexpr std::size_t kEventBacklog = 1024;

// An answer that is either an error or becomes the response.
template <class T>
auto encode() {
  return [](auto& out, Expected<T> answer) {
    if (!answer) return to_status(answer.error());
    out = to_wire(*answer);
    return grpc::Status::OK;
  };
}

class DriverService final : public wire::Driver::CallbackService {
  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

 public:
  DriverService(actors::Driver& driver, std::shared_ptr<const Stopping> stopping,
                std::shared_ptr<HostWatch> host)
      : driver_{driver}, stopping_{std::move(stopping)}, host_{std::move(host)} {}

  // --- life of the plugin ------------------------------------------------------------------------

  // Nomad 2.0.4 and newer; nothing here waits for it.
  Unary* Init(Context*, const wire::InitRequest*, wire::InitResponse* response) override {
    spdlog::debug("the host calls Init");
    return call(response)->end(grpc::Status::OK);
  }

  // The process ends at the controller's request, which follows; tasks run on.
  Unary* Shutdown(Context*, const wire::ShutdownRequest*,
                  wire::ShutdownResponse* response) override {
    spdlog::debug("the host calls Shutdown");
    return call(response)->end(grpc::Status::OK);
  }

  Unary* TaskConfigSchema(Context*, const wire::TaskConfigSchemaRequest*,
                          wire::TaskConfigSchemaResponse* response) override {
    *response->mutable_spec() = to_hclspec(task_schema());
    return call(response)->end(grpc::Status::OK);
  }

  Unary* Capabilities(Context*, const wire::CapabilitiesRequest*,
                      wire::CapabilitiesResponse* response) override {
    auto* c = call(response);
    driver_.capabilities(c->reply<actors::DriverCapabilities>(
        [](wire::CapabilitiesResponse& out, const actors::DriverCapabilities& has) {
          out = to_wire(has);
          return grpc::Status::OK;
        }));
    return c;
  }

  grpc::ServerWriteReactor<wire::FingerprintResponse>* Fingerprint(
      Context*, const wire::FingerprintRequest*) override {
    host_->taken_into_use();
    auto stream = StreamCall<ndc::Fingerprint, wire::FingerprintResponse>::make(
        kFingerprintBacklog, [](const ndc::Fingerprint& f) { return to_wire(f); }, stopping_);
    driver_.watch_fingerprint(stream);
    return stream.get();
  }

  grpc::ServerWriteReactor<wire::DriverTaskEvent>* TaskEvents(
      Context*, const wire::TaskEventsRequest*) override {
    auto stream = StreamCall<TaskEvent, wire::DriverTaskEvent>::make(
        kEventBacklog, [](const TaskEvent& event) { return to_wire(event); }, stopping_);
    driver_.watch_events(stream);
    return stream.get();
  }

  // --- life of a task ----------------------------------------------------------------------------

  Unary* StartTask(Context*, const wire::StartTaskRequest* request,
                   wire::StartTaskResponse* response) override {
    host_->taken_into_use();
    auto* c = call(response);
    auto spec = to_task_spec(request->task());
    if (!spec) return c->end(logged("start", request->task().id(), to_start_status(spec.error())));
    driver_.start_task(
        std::move(*spec),
        c->reply<Expected<actors::TaskStarted>>(
            [request](wire::StartTaskResponse& out, Expected<actors::TaskStarted> started) {
              const auto& task = request->task();
              if (!started) return logged("start", task.id(), to_start_status(started.error()));
              out = to_wire(*started, task);
              return grpc::Status::OK;
            }));
    return c;
  }

  Unary* RecoverTask(Context*, const wire::RecoverTaskRequest* request,
                     wire::RecoverTaskResponse* response) override {
    host_->taken_into_use();
    auto* c = call(response);
    auto handle = read_handle(*request);
    if (!handle) return c->end(to_status(handle.error()));
    driver_.recover_task(std::move(handle->task_id), std::move(handle->driver_state),
                         c->acknowledgement());
    return c;
  }

  Unary* WaitTask(Context*, const wire::WaitTaskRequest* request,
                  wire::WaitTaskResponse* response) override {
    auto* c = call(response);
    driver_.wait_task(request->task_id(), c->reply<Expected<TaskExit>>(encode<TaskExit>()));
    return c;
  }

  Unary* StopTask(Context*, const wire::StopTaskRequest* request,
                  wire::StopTaskResponse* response) override {
    auto* c = call(response);
    driver_.stop_task(request->task_id(), to_nanoseconds(request->timeout()), request->signal(),
                      c->acknowledgement());
    return c;
  }

  Unary* DestroyTask(Context*, const wire::DestroyTaskRequest* request,
                     wire::DestroyTaskResponse* response) override {
    auto* c = call(response);
    driver_.destroy_task(request->task_id(), request->force(), c->acknowledgement());
    return c;
  }

  Unary* InspectTask(Context*, const wire::InspectTaskRequest* request,
                     wire::InspectTaskResponse* response) override {
    auto* c = call(response);
    driver_.inspect_task(request->task_id(), c->reply<Expected<TaskStatus>>(encode<TaskStatus>()));
    return c;
  }

  Unary* SignalTask(Context*, const wire::SignalTaskRequest* request,
                    wire::SignalTaskResponse* response) override {
    auto* c = call(response);
    driver_.signal_task(request->task_id(), request->signal(), c->acknowledgement());
    return c;
  }

  grpc::ServerWriteReactor<wire::TaskStatsResponse>* TaskStats(
      Context*, const wire::TaskStatsRequest* request) override {
    const std::string& id = request->task_id();
    auto stream = StreamCall<ResourceUsage, wire::TaskStatsResponse>::make(
        kUsageBacklog, [id](const ResourceUsage& usage) { return to_wire(usage, id); }, stopping_);
    auto interval = to_nanoseconds(request->collection_interval());
    if (interval.count() == 0) interval = std::chrono::seconds{1};
    driver_.watch_usage(id, interval, stream);
    return stream.get();
  }

  // --- commands in a task ------------------------------------------------------------------------

  Unary* ExecTask(Context*, const wire::ExecTaskRequest* request,
                  wire::ExecTaskResponse* response) override {
    auto* c = call(response);
    driver_.exec_task(request->task_id(), to_exec_request(*request),
                      c->reply<Expected<ExecResult>>(
                          [](wire::ExecTaskResponse& out, Expected<ExecResult> result) {
                            if (!result) return to_status(result.error());
                            auto exit = to_exec_exit(result->status);
                            if (!exit) return to_status(exit.error());
                            out.set_stdout(std::move(result->stdout_tail));
                            out.set_stderr(std::move(result->stderr_tail));
                            *out.mutable_result() = std::move(*exit);
                            return grpc::Status::OK;
                          }));
    return c;
  }

  ExecReactor* ExecTaskStreaming(Context*) override { return start_exec_call(driver_, stopping_); }

 private:
  template <class Response>
  UnaryCall<Response>* call(Response* response) {
    return new UnaryCall<Response>{response, stopping_};
  }

  static grpc::Status logged(const char* what, const std::string& task, grpc::Status status) {
    spdlog::warn("{} task {}: {}", what, task, status.error_message());
    return status;
  }

  actors::Driver& driver_;
  std::shared_ptr<const Stopping> stopping_;
  std::shared_ptr<HostWatch> host_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_driver_service(actors::Driver& driver,
                                                   std::shared_ptr<const Stopping> stopping,
                                                   std::shared_ptr<HostWatch> host) {
  return std::make_unique<DriverService>(driver, std::move(stopping), std::move(host));
}

}  // namespace ndc::rpc
