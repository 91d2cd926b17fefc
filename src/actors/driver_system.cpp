#include "actors/driver_system.hpp"

#include <future>
#include <mutex>
#include <utility>

#include <spdlog/spdlog.h>

#include "actors/spawn.hpp"

namespace ndc::actors {
namespace {

// Once in a program, before the first system.
void prepare_caf() {
  static std::once_flag once;
  std::call_once(once, [] {
    act::fault_hook() = [](const char* actor, const char* what) {
      spdlog::error("{}: {}", actor, what);
    };
    act::init<caf::id_block::ndc_actors>();
  });
}

class DriverSystem final : public Driver {
 public:
  explicit DriverSystem(DriverOptions options) : config_{options.workers}, system_{config_} {
    if (options.message_faults) act::inject_faults(system_, options.message_faults);
    driver_ = spawn_driver(system_, std::move(options));
  }

  ~DriverSystem() override {
    act::inject_faults(system_, nullptr);  // from here on nothing is lost
    shutdown();
  }

  DriverSystem(const DriverSystem&) = delete;
  DriverSystem& operator=(const DriverSystem&) = delete;

  void set_config(PluginConfig config, std::optional<NodeCompute> node,
                  Reply<Expected<void>> reply) override {
    act::tell(driver_, SetConfig{std::move(config), node, std::move(reply)});
  }
  void capabilities(Reply<DriverCapabilities> reply) override {
    act::tell(driver_, GetCapabilities{std::move(reply)});
  }
  void watch_fingerprint(Stream<Fingerprint> stream) override {
    act::tell(driver_, WatchFingerprint{std::move(stream)});
  }
  void watch_events(Stream<TaskEvent> stream) override {
    act::tell(driver_, WatchEvents{std::move(stream)});
  }
  void start_task(TaskSpec spec, Reply<Expected<TaskStarted>> reply) override {
    act::tell(driver_,
              StartTask{std::make_shared<const TaskSpec>(std::move(spec)), std::move(reply)});
  }
  void recover_task(std::string task_id, std::string driver_state,
                    Reply<Expected<void>> reply) override {
    act::tell(driver_, RecoverTask{std::move(task_id), std::move(driver_state), std::move(reply)});
  }
  void wait_task(std::string task_id, Reply<Expected<TaskExit>> reply) override {
    act::tell(driver_, WaitTask{std::move(task_id), std::move(reply)});
  }
  void stop_task(std::string task_id, std::chrono::nanoseconds timeout, std::string signal,
                 Reply<Expected<void>> reply) override {
    act::tell(driver_, StopTask{std::move(task_id), timeout, std::move(signal), std::move(reply)});
  }
  void destroy_task(std::string task_id, bool force, Reply<Expected<void>> reply) override {
    act::tell(driver_, DestroyTask{std::move(task_id), force, std::move(reply)});
  }
  void inspect_task(std::string task_id, Reply<Expected<TaskStatus>> reply) override {
    act::tell(driver_, InspectTask{std::move(task_id), std::move(reply)});
  }
  void watch_usage(std::string task_id, std::chrono::nanoseconds interval,
                   Stream<ResourceUsage> stream) override {
    act::tell(driver_, WatchUsage{std::move(task_id), interval, std::move(stream)});
  }
  void signal_task(std::string task_id, std::string signal, Reply<Expected<void>> reply) override {
    act::tell(driver_, SignalTask{std::move(task_id), std::move(signal), std::move(reply)});
  }
  void exec_task(std::string task_id, ExecRequest request,
                 Reply<Expected<ExecResult>> reply) override {
    act::tell(driver_, ExecTask{std::move(task_id), std::move(request), std::move(reply)});
  }
  void exec_task_streaming(std::string task_id, ExecRequest request,
                           std::shared_ptr<ExecClient> client,
                           Reply<Expected<std::shared_ptr<ExecSession>>> reply) override {
    act::tell(driver_, ExecTaskStreaming{std::move(task_id), std::move(request), std::move(client),
                                         std::move(reply)});
  }

  void shutdown() override {
    std::call_once(shut_down_, [this] {
      std::promise<void> done;
      auto future = done.get_future();
      act::tell(driver_, Shutdown{Reply<bool>{[&done](auto) { done.set_value(); }}});
      future.wait();
    });
  }

 private:
  act::Config config_;
  caf::actor_system system_;
  caf::actor driver_;  // released before the system waits for its actors
  std::once_flag shut_down_;
};

}  // namespace

std::unique_ptr<Driver> make_driver(DriverOptions options) {
  prepare_caf();
  return std::make_unique<DriverSystem>(std::move(options));
}

}  // namespace ndc::actors
