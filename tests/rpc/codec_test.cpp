#include "support/catch.hpp"

#include <limits>

#include "rpc/task_codec.hpp"
#include "rpc/task_spec_codec.hpp"
#include "rpc/wire_time.hpp"

using namespace ndc;
using namespace ndc::rpc;
using namespace std::chrono_literals;

namespace {

bool lists(const wire::CPUUsage& usage, wire::CPUUsage::Fields field) {
  const auto& fields = usage.measured_fields();
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

wire::TaskConfig task() {
  wire::TaskConfig out;
  out.set_id("alloc/web/1234");
  out.set_name("web");
  out.set_alloc_id("alloc");
  out.set_namespace_("default");
  return out;
}

}  // namespace

TEST_CASE("a task's fields arrive in the model") {
  auto config = task();
  (*config.mutable_env())["A"] = "1";
  config.set_user("www");
  config.set_msgpack_driver_config("\x81\xa5image\xa1x");
  auto& allocated = *config.mutable_resources()->mutable_allocated_resources();
  allocated.mutable_cpu()->set_cpu_shares(500);
  allocated.mutable_memory()->set_memory_mb(256);
  allocated.mutable_memory()->set_memory_max_mb(-1);
  auto& limits = *config.mutable_resources()->mutable_linux_resources();
  limits.set_percentticks(0.25);
  limits.set_cpuset_cpus("0,1");
  limits.set_cpuset_cgroup("/sys/fs/cgroup/x.scope");
  auto& mount = *config.add_mounts();
  mount.set_host_path("/srv");
  mount.set_task_path("/data");
  mount.set_readonly(true);
  mount.set_propagation_mode("private");
  auto& device = *config.add_devices();
  device.set_host_path("/dev/fuse");
  device.set_cgroup_permissions("rw");
  config.mutable_dns()->add_servers("1.1.1.1");

  const auto spec = to_task_spec(config).value();
  CHECK(spec.id == "alloc/web/1234");
  CHECK(spec.job_namespace == "default");
  CHECK(spec.env.at("A") == "1");
  CHECK(spec.user == "www");
  CHECK(spec.config.map()->at("image") == Value{std::string{"x"}});
  CHECK(spec.resources.cpu_mhz == 500);
  CHECK(spec.resources.memory_mb == 256);
  CHECK(spec.resources.memory_max_mb == -1);
  CHECK(spec.resources.node_share == 0.25);
  CHECK(spec.resources.cpuset == "0,1");
  CHECK(spec.resources.parent_cgroup == "/sys/fs/cgroup/x.scope");
  REQUIRE(spec.mounts.size() == 1);
  CHECK(spec.mounts[0].read_only);
  CHECK(spec.mounts[0].propagation == "private");
  REQUIRE(spec.devices.size() == 1);
  CHECK(spec.devices[0].permissions == "rw");
  REQUIRE(spec.dns);
  CHECK(spec.dns->servers == std::vector<std::string>{"1.1.1.1"});
  CHECK_FALSE(spec.group_network);
}

TEST_CASE("a port without a task port keeps the host's number") {
  auto config = task();
  auto& http = *config.mutable_resources()->add_ports();
  http.set_label("http");
  http.set_value(20000);
  auto& admin = *config.mutable_resources()->add_ports();
  admin.set_value(20001);
  admin.set_to(80);
  const auto spec = to_task_spec(config).value();
  CHECK(spec.ports.at(0).task_port == 20000);
  CHECK(spec.ports.at(1).host_port == 20001);
  CHECK(spec.ports.at(1).task_port == 80);
}

TEST_CASE("a share that is no number counts as unknown") {
  for (const double share :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -1.0}) {
    auto config = task();
    config.mutable_resources()->mutable_linux_resources()->set_percentticks(share);
    CHECK(to_task_spec(config).value().resources.node_share == 0);
  }
}

TEST_CASE("only a group's network namespace is a group network") {
  auto config = task();
  auto& isolation = *config.mutable_network_isolation_spec();
  isolation.set_path("/var/run/netns/x");
  isolation.mutable_hostsconfig()->set_hostname("host");
  isolation.mutable_hostsconfig()->set_address("172.26.64.2");
  CHECK_FALSE(to_task_spec(config).value().group_network);
  isolation.set_mode(wire::NetworkIsolationSpec::GROUP);
  const auto network = to_task_spec(config).value().group_network;
  REQUIRE(network);
  CHECK(network->namespace_path == "/var/run/netns/x");
  CHECK(network->hostname == "host");
  CHECK(network->address == "172.26.64.2");
}

TEST_CASE("a task that cannot be read is an error of the job") {
  auto config = task();
  config.set_msgpack_driver_config("\xc1");
  const auto spec = to_task_spec(config);
  REQUIRE_FALSE(spec);
  CHECK(spec.error().code == ErrorCode::kInvalidConfig);
  CHECK_FALSE(spec.error().recoverable());
  CHECK_FALSE(to_task_spec(wire::TaskConfig{}));
}

TEST_CASE("an exit is told as it was seen, and never invented") {
  const auto exited = to_wire(TaskExit{.status = Exited{137}});
  CHECK(exited.result().exit_code() == 137);
  CHECK(exited.result().signal() == 0);
  CHECK(exited.err().empty());

  const auto signalled = to_wire(TaskExit{.status = Signalled{9}});
  CHECK(signalled.result().exit_code() == 0);
  CHECK(signalled.result().signal() == 9);
  CHECK(signalled.err().empty());

  const auto unknown = to_wire(TaskExit{.status = UnknownExit{"conmon \xff vanished"}});
  CHECK(unknown.has_result());
  CHECK(unknown.result().exit_code() == -1);
  CHECK(unknown.err() == "exit status unknown: conmon \xEF\xBF\xBD vanished");

  const auto oom = to_wire(TaskExit{.status = Exited{137}, .oom_killed = true});
  CHECK(oom.result().oom_killed());
  CHECK(oom.err() == "OOM Killed");

  CHECK(to_exec_exit(Exited{3}).value().exit_code() == 3);
  CHECK_FALSE(to_exec_exit(UnknownExit{"gone"}));
}

TEST_CASE("the handle of a started task carries everything that its recovery needs") {
  const auto config = task();
  const auto response = to_wire(
      actors::TaskStarted{"state", DriverNetwork{"10.0.0.2", {{"http", 80}}, true}}, config);
  CHECK(response.handle().version() == 1);
  const wire::TaskConfig& kept = response.handle().config();
  CHECK(kept.id() == config.id());
  CHECK(kept.alloc_dir() == config.alloc_dir());
  CHECK(kept.env().empty());
  CHECK(kept.device_env().empty());
  CHECK(kept.msgpack_driver_config().empty());
  CHECK(response.handle().state() == wire::RUNNING);
  CHECK(response.handle().driver_state() == "state");
  CHECK(response.network_override().addr() == "10.0.0.2");
  CHECK(response.network_override().port_map().at("http") == 80);
  CHECK(response.network_override().auto_advertise());
  CHECK_FALSE(to_wire(actors::TaskStarted{"s", {}}, config).has_network_override());

  wire::RecoverTaskRequest request;
  *request.mutable_handle() = response.handle();
  const auto handle = read_handle(request).value();
  CHECK(handle.task_id == "alloc/web/1234");
  CHECK(handle.driver_state == "state");
}

TEST_CASE("handles of a future version, without id or without state are refused") {
  wire::RecoverTaskRequest request;
  auto& handle = *request.mutable_handle();
  CHECK_FALSE(read_handle(request));
  handle.mutable_config()->set_id("x");
  CHECK_FALSE(read_handle(request));
  handle.set_driver_state("s");
  CHECK(read_handle(request));
  handle.set_version(2);
  const auto refused = read_handle(request);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("version 2") != std::string::npos);
}

TEST_CASE("a running task is not completed, in Go's words") {
  TaskStatus status;
  status.id = "i";
  status.name = "n";
  status.state = TaskState::kRunning;
  status.started_at = WallTime{1500ms};
  const auto running = to_wire(status);
  CHECK(running.task().started_at().seconds() == 1);
  CHECK(running.task().started_at().nanos() == 500'000'000);
  CHECK(running.task().completed_at().seconds() == -62135596800);
  CHECK(running.task().completed_at().nanos() == 0);
  CHECK(running.task().has_result());

  status.state = TaskState::kExited;
  status.exit = TaskExit{.status = Exited{2}, .at = WallTime{3s}};
  status.attributes["container_id"] = "\xff";
  const auto exited = to_wire(status);
  CHECK(exited.task().completed_at().seconds() == 3);
  CHECK(exited.task().result().exit_code() == 2);
  CHECK(exited.driver().attributes().at("container_id") == "\xEF\xBF\xBD");
}

TEST_CASE("usage lists exactly what was measured, and never the ticks") {
  ResourceUsage usage;
  usage.sample.at = WallTime{5s};
  usage.sample.memory_rss = 4096;
  usage.sample.throttled_time = 7ms;
  usage.cpu_percent = 150;
  usage.cpu_system_percent = std::numeric_limits<double>::quiet_NaN();
  usage.cpu_ticks_mhz = 3000;
  const auto response = to_wire(usage, "task");
  CHECK(response.stats().id() == "task");
  CHECK(response.stats().timestamp().seconds() == 5);
  const auto& cpu = response.stats().agg_resource_usage().cpu();
  CHECK(cpu.percent() == 150);
  CHECK(cpu.system_mode() == 0);
  CHECK(cpu.total_ticks() == 3000);
  CHECK(cpu.throttled_time() == 7'000'000);
  CHECK(lists(cpu, wire::CPUUsage::PERCENT));
  CHECK(lists(cpu, wire::CPUUsage::THROTTLED_TIME));
  CHECK_FALSE(lists(cpu, wire::CPUUsage::USER_MODE));
  CHECK_FALSE(lists(cpu, wire::CPUUsage::TOTAL_TICKS));
  const auto& memory = response.stats().agg_resource_usage().memory();
  CHECK(memory.rss() == 4096);
  REQUIRE(memory.measured_fields_size() == 1);
  CHECK(memory.measured_fields(0) == wire::MemoryUsage::RSS);
}

TEST_CASE("fingerprints and events carry valid UTF-8 only") {
  Fingerprint fingerprint{Health::kHealthy,
                          "fine \xff",
                          {{"driver.container", true},
                           {"driver.container.n", std::int64_t{3}},
                           {"driver.container.s", std::string{"\xc3"}}}};
  const auto out = to_wire(fingerprint);
  CHECK(out.health() == wire::FingerprintResponse::HEALTHY);
  CHECK(out.health_description() == "fine \xEF\xBF\xBD");
  CHECK(out.attributes().at("driver.container").bool_val());
  CHECK(out.attributes().at("driver.container.n").int_val() == 3);
  CHECK(out.attributes().at("driver.container.s").string_val() == "\xEF\xBF\xBD");

  const auto event =
      to_wire(TaskEvent{"id", "alloc", "web", WallTime{2s}, "\x80", {{"k", "\xfe"}}});
  CHECK(event.timestamp().seconds() == 2);
  CHECK(event.message() == "\xEF\xBF\xBD");
  CHECK(event.annotations().at("k") == "\xEF\xBF\xBD");
  CHECK(to_wire(TaskEvent{}).timestamp().seconds() > 1'600'000'000);  // now, not 1970
}

TEST_CASE("the node's compute is the override, or the sum of its cores") {
  hashicorp::nomad::plugins::base::proto::SetConfigRequest request;
  CHECK_FALSE(to_node_compute(request));
  auto& topology = *request.mutable_nomad_config()->mutable_driver()->mutable_topology();
  topology.add_cores()->set_base_speed(2000);
  topology.mutable_cores(0)->set_max_speed(3000);
  topology.add_cores()->set_max_speed(1000);
  topology.add_cores()->set_guess_speed(500);
  topology.mutable_cores(2)->set_disable(true);
  CHECK(to_node_compute(request)->total_mhz == 3500);
  CHECK(to_node_compute(request)->cores == 3);
  topology.set_override_total_compute(9000);
  CHECK(to_node_compute(request)->total_mhz == 9000);
}

TEST_CASE("hostile durations are clamped") {
  google::protobuf::Duration duration;
  duration.set_seconds(-5);
  CHECK(to_nanoseconds(duration) == 0ns);
  duration.set_seconds(std::numeric_limits<std::int64_t>::max());
  CHECK(to_nanoseconds(duration) > 0ns);
  duration.set_seconds(2);
  duration.set_nanos(5);
  CHECK(to_nanoseconds(duration) == 2s + 5ns);
  wire::ExecTaskRequest request;
  CHECK_FALSE(to_exec_request(request).timeout);
}
