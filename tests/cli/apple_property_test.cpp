// Random tasks: whatever the driver does not refuse, the CLI's grammar must accept, in every
// version, and every setting must have its effect in the container that comes of it.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "cli/apple_effect.hpp"
#include "runtime/apple_argv.hpp"
#include "runtime/machine.hpp"
#include "standin/check.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kTasks = 300;  // ten times slower, and no other code is reached by more of them
#else
constexpr int kTasks = 10000;
#endif

class Generator {
 public:
  explicit Generator(unsigned seed) : random_{seed} {}

  bool chance(int percent) { return number(1, 100) <= percent; }
  int number(int from, int to) { return std::uniform_int_distribution<int>{from, to}(random_); }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(number(0, static_cast<int>(from.size()) - 1))];
  }

  // Text that wants to be taken for something else.
  std::string text(int longest = 8) {
    static const std::vector<std::string> parts{"a", "Z", "0", "-",  "--", "=",  ":",  ",", ".",
                                                "/", "_", " ", "\"", "'",  "\\", "é",  "$", "*",
                                                "[", "]", "{", "%",  "#",  "@",  "\t", "+", "~"};
    std::string out;
    for (int i = number(0, longest); i > 0; --i) out += pick(parts);
    return out;
  }
  std::string word() {
    static const std::vector<std::string> parts{"a", "b", "x1", "9", "Q"};
    std::string out = "w";
    for (int i = number(0, 5); i > 0; --i) out += pick(parts);
    return out;
  }
  std::string path() { return "/" + word() + (chance(30) ? "/" + text(5) + "x" : ""); }

 private:
  std::mt19937 random_;
};

struct RandomTask {
  TaskSpec spec;
  TaskConfig config;
  AppleRequest request;

  RandomTask(Generator& g, const VersionNumber& version) {
    spec.name = "main";
    spec.alloc_id = "0a1b2c3d-0000-0000-0000-000000000000";
    config.image = g.pick<std::string>({"alpine", "docker.io/library/a:1", "localhost:5000/x/y",
                                        "a@sha256:" + std::string(64, 'a')});
    fill_process(g);
    fill_resources(g);
    fill_network(g);
    fill_machine(g, version);
    fill_mounts(g);
    request.version = version;
    request.image = config.image;
    request.host_cpus = static_cast<unsigned>(g.number(1, 16));
    for (int i = g.number(0, 3); i > 0; --i) {
      request.labels.emplace_back("nomad." + g.word(), g.text(12));
    }
  }

  void fill_process(Generator& g) {
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
    config.readonly_rootfs = g.chance(30);
    for (int i = g.number(0, 5); i > 0; --i) {
      spec.env[g.word()] = g.text(20) + (g.chance(20) ? "\n" + g.text() : "");
    }
    for (int i = g.number(0, 3); i > 0; --i) config.env[g.word()] = g.text(20);
    for (int i = g.number(0, 3); i > 0; --i) config.labels[g.text()] = g.text();
    if (g.chance(20)) config.hostname = g.word();
    if (g.chance(20)) config.cap_add = {g.pick<std::string>({"CAP_NET_ADMIN", "ALL", "CAP_CHOWN"})};
    if (g.chance(20)) config.cap_drop = {g.pick<std::string>({"CAP_MKNOD", "ALL"})};
  }

  void fill_resources(Generator& g) {
    spec.resources.memory_mb = g.number(0, 4096);
    if (g.chance(30)) spec.resources.memory_max_mb = g.number(-1, 8192);
    spec.resources.node_share = g.number(0, 150) / 100.0;
    if (g.chance(20)) spec.resources.cpuset = g.pick<std::string>({"0", "0-3", "1,5", "x", "3-1"});
    if (g.chance(20)) config.shm_size = g.number(1, 1 << 30);
    for (int i = g.number(0, 2); i > 0; --i) {
      const int hard = g.number(-1, 5000);
      config.ulimit[g.pick<std::string>({"nofile", "nproc", "memlock", "core", "bogus"})] = {
          g.number(-1, 5000), hard};
    }
  }

  void fill_network(Generator& g) {
    using Kind = NetworkMode::Kind;
    config.network_mode.kind = g.pick<Kind>(
        {Kind::kDefault, Kind::kDefault, Kind::kHost, Kind::kNone, Kind::kNamed, Kind::kTask});
    if (config.network_mode.kind == Kind::kNamed) config.network_mode.name = g.word();
    if (config.network_mode.kind == Kind::kTask && g.chance(50)) {
      config.network_mode.name = spec.name;
      request.private_network = "nomad-" + spec.alloc_id;
    } else if (config.network_mode.kind == Kind::kTask) {
      config.network_mode.name = "other-task";
      request.peer = ApplePeer{"192.168.64.9", "", {"default"}};
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

  void fill_machine(Generator& g, const VersionNumber&) {
    config.rosetta = g.chance(10);
    config.ssh_agent = g.chance(10);
    config.virtualization = g.chance(10);
    if (g.chance(10)) config.platform = g.pick<std::string>({"linux/arm64", "linux/amd64"});
    if (g.chance(10)) request.kernel = g.path();
    if (g.chance(10)) config.init_image = "ghcr.io/x/init:1";
    if (g.chance(10)) config.stop_signal = "SIGUSR1";
    if (g.chance(10)) request.sockets.push_back({"/run/" + g.word(), "/run/" + g.word(), {}});
  }

  void fill_mounts(Generator& g) {
    using K = AppleMount::Kind;
    for (int i = g.number(0, 4); i > 0; --i) {
      AppleMount mount{g.pick<K>({K::kDirectory, K::kFile, K::kVolume}),
                       g.path(),
                       "/m" + std::to_string(i) + g.text(4),
                       {}};
      if (mount.kind == K::kVolume) mount.source = g.word();
      if (g.chance(40)) mount.options.emplace_back("ro");
      if (g.chance(10)) mount.options.emplace_back("nosuid");
      if (mount_words(mount, request.version)) request.mounts.push_back(std::move(mount));
    }
    for (int i = g.number(0, 2); i > 0; --i) {
      config.tmpfs.push_back({"/t" + std::to_string(i) + g.text(3),
                              g.pick<std::string>({"", "size=64m", "mode=1777,size=1g", "rw",
                                                   "size=512k", "ro,size=1500000"})});
    }
  }

  Expected<AppleArguments> build(const std::string& env_file) {
    request.env_file = env_file;
    request.spec = &spec;
    request.config = &config;
    for (const auto& label : config.labels) request.labels.push_back(label);
    auto id = apple_container_id("nomad-main-0a1b2c3d", config);
    if (!id) return fail(std::move(id.error()));
    request.id = *id;
    return apple_arguments(request);
  }
};

// What the CLI inherits of the task's environment, for as long as one argv is judged.
class Inherited {
 public:
  explicit Inherited(const AppleEnvironment& environment) : names_{environment.names} {
    for (const std::string& entry : environment.own_entries) {
      const std::size_t equals = entry.find('=');
      ::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
    }
  }
  Inherited(const Inherited&) = delete;
  Inherited& operator=(const Inherited&) = delete;
  ~Inherited() {
    for (const std::string& name : names_) ::unsetenv(name.c_str());
  }

 private:
  const std::vector<std::string>& names_;
};

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += " '" + word + "'";
  return out;
}

}  // namespace

TEST_CASE("every argv that the driver can emit is accepted by its version and means the task") {
  const char* given = std::getenv("NDC_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                         : std::random_device{}();
  WARN("NDC_SEED=" << seed);
  const test::TemporaryDirectory directory;
  const std::string env_file = directory / "environment";
  for (const char* text : {"0.11.0", "0.12.3", "1.0.0", "1.1.0", "1.2.2"}) {
    Generator generator{seed};
    const auto number = parse_version(text);
    const standin::Version version = *standin::parse_version(text);
    REQUIRE(number);
    int accepted = 0;
    int refused = 0;
    while (accepted < kTasks) {
      RandomTask task{generator, *number};
      const auto arguments = task.build(env_file);
      if (!arguments) {
        REQUIRE(++refused < 20 * kTasks);
        continue;
      }
      std::filesystem::remove(env_file);  // rewriting it would wait for the disk
      std::ofstream{env_file} << arguments->environment.file;
      std::vector<std::string> argv{"create"};
      argv.insert(argv.end(), arguments->options.begin(), arguments->options.end());
      argv.insert(argv.end(), arguments->tail.begin(), arguments->tail.end());
      const Inherited inherited{arguments->environment};
      const auto verdict = standin::check(version, argv);
      if (verdict.code != 0) {
        FAIL(number->text() << ": " << verdict.code << " " << verdict.text << joined(argv));
      }
      if (const auto wrong = test::wrong_effects(task.request, verdict.text); !wrong.empty()) {
        FAIL(number->text() << "\n" << wrong << joined(argv));
      }
      ++accepted;
    }
    CHECK(accepted == kTasks);
  }
}
