#include "cli/random_task.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "runtime/apple_start.hpp"
#include "runtime/mount_policy.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::test {
namespace {

namespace fs = std::filesystem;
using runtime::ApplePeer;
using Strings = std::vector<std::string>;

Value text(std::string value) { return Value{std::move(value)}; }
Value flag(bool value) { return Value{value}; }

void make_file(const fs::path& path) {
  fs::create_directories(path.parent_path());
  std::ofstream{path} << "x";
}

void make_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const runtime::UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM, 0)};
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

Places::Places() {
  const std::string task = alloc_dir() + "/main/";
  for (const char* name : {"alloc/data", "main/local/deep", "main/secrets"}) {
    fs::create_directories(alloc_dir() + "/" + name);
  }
  for (const char* name : {"dir", "a b", "a,b", "a=b", "a:b", "a:b,c", "é", "--x", "---", "-=x",
                           "$HOME", "100%", "it's"}) {
    fs::create_directories(task + name);
    own_.push_back(std::string{"./"} + name);
  }
  for (const char* name : {"file", "local/file", "files/one", "files/t=wo", "fi:les/three"}) {
    make_file(task + name);
    own_.push_back(std::string{"./"} + name);
  }
  make_socket(task + "sock");
  fs::create_symlink("local/deep", task + "link");
  fs::create_symlink("/etc", task + "out");
  own_.insert(own_.end(), {"local", "secrets", "local/deep", "../alloc/data", "./sock", "./link",
                           "./out", "./missing"});

  for (const char* name : {"data", "a=b", "--h"}) {
    fs::create_directories(host_dir() + "/" + name);
    absolute_.push_back(host_dir() + "/" + name);
  }
  make_file(host_dir() + "/files/one");
  absolute_.push_back(host_dir() + "/files/one");
  absolute_.push_back(task + "dir");
}

RandomTask::RandomTask(Generator& g, const Places& places, const VersionNumber& version) {
  request.version = version;
  spec.name = "main";
  spec.alloc_id = "0a1b2c3d-0000-0000-0000-000000000000";
  spec.alloc_dir = places.alloc_dir();
  config.image = g.pick<std::string>({"alpine", "docker.io/library/a:1", "localhost:5000/x/y",
                                      "a@sha256:" + std::string(64, 'a')});
  fill_process(g);
  fill_resources(g);
  fill_network(g);
  fill_machine(g);
  fill_storage(g, places);
  request.image = config.image;
  request.host_cpus = static_cast<unsigned>(g.number(1, 16));
  for (int i = g.number(0, 3); i > 0; --i) {
    request.labels.emplace_back("nomad." + g.word(), g.text(12));
  }
}

void RandomTask::fill_process(Generator& g) {
  if (g.chance(50)) config.command = g.text();
  for (int i = g.number(0, 4); i > 0; --i) config.args.push_back(g.text());
  if (g.chance(30)) {
    config.entrypoint.emplace();
    for (int i = g.number(0, 3); i > 0; --i) config.entrypoint->push_back(g.text());
  }
  if (g.chance(30)) config.working_dir = "/" + g.text();
  if (g.chance(30)) {
    config.user = g.pick<std::string>({"root", "1000", "1000:1000", "nobody:nogroup", "-1", ""});
  }
  config.init = g.chance(30);
  config.tty = g.chance(30);
  config.interactive = g.chance(30);
  config.readonly_rootfs = g.chance(30);
  for (int i = g.number(0, 5); i > 0; --i) {
    std::string& value = spec.env[g.word()];
    value = g.text(20);
    if (g.chance(20)) value += "\n" + g.text();
  }
  for (int i = g.number(0, 3); i > 0; --i) config.env[g.word()] = g.text(20);
  for (int i = g.number(0, 3); i > 0; --i) config.labels[g.text()] = g.text();
  if (g.chance(20)) config.hostname = g.word();
  if (g.chance(20)) config.cap_add = {g.pick<std::string>({"CAP_NET_ADMIN", "ALL", "CAP_CHOWN"})};
  if (g.chance(20)) config.cap_drop = {g.pick<std::string>({"CAP_MKNOD", "ALL"})};
}

void RandomTask::fill_resources(Generator& g) {
  spec.resources.memory_mb = g.number(0, 4096);
  if (g.chance(30)) spec.resources.memory_max_mb = g.number(-1, 8192);
  spec.resources.node_share = g.number(0, 150) / 100.0;
  if (g.chance(20)) spec.resources.cpuset = g.pick<std::string>({"0", "0-3", "1,5", "x", "3-1"});
  if (g.chance(20)) config.shm_size = g.number(1, 1 << 30);
  for (int i = g.number(0, 2); i > 0; --i) {
    const int hard = g.number(-1, 5000);
    const int soft = hard < 0 || g.chance(10) ? g.number(-1, 5000) : g.number(0, hard);
    const auto name = g.pick<std::string>({"nofile", "nproc", "memlock", "core", "bogus"});
    config.ulimit[name] = {soft, hard};
  }
}

void RandomTask::fill_network(Generator& g) {
  using Kind = NetworkMode::Kind;
  NetworkMode& mode = config.network_mode;
  mode.kind = g.pick<Kind>(
      {Kind::kDefault, Kind::kDefault, Kind::kHost, Kind::kNone, Kind::kNamed, Kind::kTask});
  if (mode.kind == Kind::kNamed) mode.name = g.word();
  if (mode.kind == Kind::kTask && g.chance(50)) {
    mode.name = spec.name;
    request.private_network = "nomad-" + spec.alloc_id;
  } else if (mode.kind == Kind::kTask) {
    mode.name = g.pick<std::string>({"other-task", "side.car_2", "Db", "t é"});
    request.peer = ApplePeer{"192.168.64.9", "", {"default"}};
    if (g.chance(50)) request.peer->host_name = "nomad-" + g.word() + ".test";
    if (g.chance(30)) request.peer->networks.emplace_back("backend");
  }
  for (int i = g.number(0, 4); i > 0; --i) {
    const std::string label = "p" + std::to_string(i);
    spec.ports.push_back({label, g.chance(5) ? g.number(0, 3) : g.number(1024, 65535),
                          g.chance(5) ? g.number(0, 3) : g.number(2, 65535),
                          g.pick<std::string>({"", "127.0.0.1", "::1", "10.0.0.1"})});
    if (g.chance(70)) config.ports.push_back(label);
  }
  if (g.chance(20)) config.dns = {"1.1.1.1"};
  if (g.chance(20)) config.dns_search = {"svc.test"};
  if (g.chance(20)) config.dns_options = {"ndots:2"};
  if (g.chance(10)) spec.dns = DnsSettings{{"9.9.9.9"}, {"group.test"}, {}};
  if (g.chance(10)) config.mac_address = "02:42:ac:11:00:02";
}

void RandomTask::fill_machine(Generator& g) {
  config.rosetta = g.chance(10);
  config.ssh_agent = g.chance(10);
  config.virtualization = g.chance(10);
  if (g.chance(10)) config.platform = g.pick<std::string>({"linux/arm64", "linux/amd64"});
  if (g.chance(10)) config.init_image = "ghcr.io/x/init:1";
  if (g.chance(10)) config.stop_signal = "SIGUSR1";
}

void RandomTask::fill_storage(Generator& g, const Places& places) {
  const auto path = [&] { return g.pick(g.chance(70) ? places.own() : places.absolute()); };
  Value::List volumes;
  Value::List blocks;
  for (int i = g.number(0, 3); i > 0; --i) {
    const std::string target = "/m" + std::to_string(i) + g.text(4);
    if (g.chance(50)) {
      const std::string source = g.chance(25) ? g.word() : path();
      const auto options = g.pick<std::string>({"", "", ":ro", ":ro", ":rw", ":ro,nosuid", ":z",
                                                ":nodev,noexec", ":rprivate,ro", ":nocopy"});
      volumes.push_back(text(source + ":" + target + options));
      continue;
    }
    const auto type = g.pick<std::string>({"bind", "bind", "volume", "tmpfs"});
    Value::Map block{
        {"type", text(type)}, {"target", text(target)}, {"readonly", flag(g.chance(40))}};
    if (type == "bind") block["source"] = text(path());
    if (type == "bind" && g.chance(20)) {
      block["bind_options"].data =
          Value::Map{{"propagation", text(g.pick<std::string>({"", "rprivate", "rshared"}))}};
    }
    if (type == "volume") block["source"] = text(g.word());
    if (type == "volume" && g.chance(20)) {
      block["volume_options"].data = Value::Map{{"no_copy", flag(true)}};
    }
    if (type == "tmpfs" && g.chance(50)) {
      block["tmpfs_options"].data = Value::Map{
          {"size", text(g.pick<std::string>({"64m", "1500000", "512k"}))}, {"mode", text("1777")}};
    }
    blocks.push_back(Value{std::move(block)});
  }
  Value::List tmpfs;
  for (int i = g.number(0, 2); i > 0; --i) {
    const std::string target = "/t" + std::to_string(i) + g.text(3);
    const auto options = g.pick<std::string>(
        {"", ":size=64m", ":mode=1777,size=1g", ":rw", ":size=512k", ":ro,size=1500000"});
    tmpfs.push_back(text(target + options));
  }
  Value::List sockets;
  if (g.chance(10)) {
    const auto parent = g.pick<std::string>({places.host_dir(), places.alloc_dir() + "/main/a=b"});
    const std::string name = g.word();
    sockets.push_back(text(parent + "/" + name + ".sock:/run/" + name));
  }
  storage_ = {{"image", text("x")},
              {"volumes", Value{std::move(volumes)}},
              {"mount", Value{std::move(blocks)}},
              {"tmpfs", Value{std::move(tmpfs)}},
              {"publish_sockets", Value{std::move(sockets)}}};
  if (g.chance(10)) storage_["kernel"] = text(g.pick(places.absolute()));

  if (g.chance(20)) {
    spec.mounts.push_back({g.pick(places.absolute()), "/h" + g.text(3), g.chance(50),
                           g.pick<std::string>({"", "", "private", "host-to-task"}), ""});
  }
  if (g.chance(20)) {
    spec.env["NOMAD_ALLOC_DIR"] = g.pick<std::string>({"/alloc", "/shared dir", "alloc"});
  }
  if (g.chance(10)) policy_.enabled = false;
  if (g.chance(10)) policy_.allowed_paths = {places.host_dir()};
}

// As AppleStart does it.
Expected<void> RandomTask::take_paths() {
  auto decoded = decode_task_config(Value{storage_});
  if (!decoded) return fail(std::move(decoded.error()));
  config.volumes = std::move(decoded->volumes);
  config.tmpfs = std::move(decoded->tmpfs);
  config.publish_sockets = std::move(decoded->publish_sockets);
  config.kernel = std::move(decoded->kernel);
  auto mounts = runtime::resolve_mounts(spec, config, policy_);
  if (!mounts) return fail(std::move(mounts.error()));
  auto shares = runtime::apple_mounts(*mounts, request.version);
  if (!shares) return fail(std::move(shares.error()));
  request.mounts = std::move(*shares);
  auto sockets = runtime::apple_sockets(spec, config, policy_);
  if (!sockets) return fail(std::move(sockets.error()));
  request.sockets = std::move(*sockets);
  if (!config.kernel) return {};
  auto kernel = runtime::allowed_path(spec, *config.kernel, policy_);
  if (!kernel) return fail(std::move(kernel.error()));
  request.kernel = std::move(*kernel);
  return {};
}

Expected<runtime::AppleArguments> RandomTask::build(const std::string& env_file) {
  request.env_file = env_file;
  request.spec = &spec;
  request.config = &config;
  // Most are refused for what needs no look at the host.
  auto errors = runtime::apple_refusals(spec, config, request.version);
  if (!errors.empty()) return fail(std::move(errors.front()));
  if (auto taken = take_paths(); !taken) return fail(std::move(taken.error()));
  for (const auto& label : config.labels) request.labels.push_back(label);
  auto id = runtime::apple_container_id("nomad-main-0a1b2c3d", config);
  if (!id) return fail(std::move(id.error()));
  request.id = std::move(*id);
  return runtime::apple_arguments(request);
}

}  // namespace ndc::test
