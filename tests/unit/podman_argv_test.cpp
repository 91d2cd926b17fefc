// The command line that starts a task under Podman.

#include <algorithm>

#include "runtime/podman_argv.hpp"
#include "support/catch.hpp"

namespace ndc::runtime {
namespace {

using Kind = NetworkMode::Kind;
using Strings = std::vector<std::string>;

struct Job {
  TaskSpec spec;
  TaskConfig config;
  PodmanRequest request;

  Job() {
    spec.name = "web";
    spec.alloc_id = "0a1b2c3d-1111-2222-3333-444455556666";
    config.image = "busybox";
    request.image = "busybox";
    request.name = "nomad-web-0a1b2c3d";
    request.pid_file = "/state/pid";
    request.conmon_pid_file = "/state/conmon.pid";
    request.log_file = "/state/console.log";
  }
  Expected<PodmanArguments> arguments() {
    request.spec = &spec;
    request.config = &config;
    return podman_arguments(request);
  }
  Strings options() {
    auto built = arguments();
    if (!built) FAIL(built.error().message());
    return built->options;
  }
  std::string error() {
    auto built = arguments();
    return built ? std::string{} : built.error().message();
  }
  // The options that begin so, without that beginning.
  Strings values(const std::string& prefix) {
    Strings out;
    for (const std::string& option : options()) {
      if (option.starts_with(prefix)) out.push_back(option.substr(prefix.size()));
    }
    return out;
  }
  bool has(const std::string& option) {
    const Strings all = options();
    return std::find(all.begin(), all.end(), option) != all.end();
  }
};

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("each task setting becomes the option that podman has for it") {
  struct Row {
    const char* option;
    void (*set)(Job& job);
  };
  const Row row =
      GENERATE(Row{"--workdir=/srv", [](Job& j) { j.config.working_dir = "/srv"; }},
               Row{"--user=1000:2000", [](Job& j) { j.config.user = "1000:2000"; }},
               Row{"--user=redis", [](Job& j) { j.spec.user = "redis"; }},
               Row{"--user=80123:80123", [](Job& j) { j.spec.user = "nomad-80123"; }},
               Row{"--user=nomad-a", [](Job& j) { j.spec.user = "nomad-a"; }},
               Row{"--hostname=db", [](Job& j) { j.config.hostname = "db"; }},
               Row{"--hostname=nomad-web-0a1b2c3d", [](Job&) {}},
               Row{"--init", [](Job& j) { j.config.init = true; }},
               Row{"--tty", [](Job& j) { j.config.tty = true; }},
               Row{"--log-opt=path=/state/console.log", [](Job& j) { j.config.tty = true; }},
               Row{"--log-driver=k8s-file", [](Job& j) { j.config.tty = true; }},
               Row{"--log-driver=passthrough", [](Job&) {}},
               Row{"--interactive", [](Job& j) { j.config.interactive = true; }},
               Row{"--no-healthcheck", [](Job& j) { j.config.healthchecks_disabled = true; }},
               Row{"--platform=linux/arm64", [](Job& j) { j.config.platform = "linux/arm64"; }},
               Row{"--stop-signal=SIGUSR1", [](Job& j) { j.config.stop_signal = "SIGUSR1"; }},
               Row{"--tmpfs=/run:size=64m",
                   [](Job& j) {
                     j.config.tmpfs = {{"/run", "size=64m"}};
                   }},
               Row{"--tmpfs=/run",
                   [](Job& j) {
                     j.config.tmpfs = {{"/run", ""}};
                   }},
               Row{"--shm-size=1024b", [](Job& j) { j.config.shm_size = 1024; }},
               Row{"--privileged", [](Job& j) { j.config.privileged = true; }},
               Row{"--cap-add=CAP_NET_ADMIN", [](Job& j) { j.config.cap_add = {"CAP_NET_ADMIN"}; }},
               Row{"--cap-drop=ALL", [](Job& j) { j.config.cap_drop = {"ALL"}; }},
               Row{"--security-opt=label=disable",
                   [](Job& j) { j.config.security_opt = {"label=disable"}; }},
               Row{"--read-only", [](Job& j) { j.config.readonly_rootfs = true; }},
               Row{"--ulimit=nofile=10:20",
                   [](Job& j) {
                     j.config.ulimit = {{"nofile", {10, 20}}};
                   }},
               Row{"--ulimit=core=-1:-1",
                   [](Job& j) {
                     j.config.ulimit = {{"core", {-1, -1}}};
                   }},
               Row{"--sysctl=net.core.somaxconn=9",
                   [](Job& j) {
                     j.config.sysctl = {{"net.core.somaxconn", "9"}};
                   }},
               Row{"--pids-limit=7", [](Job& j) { j.config.pids_limit = 7; }},
               Row{"--pids-limit=-1", [](Job& j) { j.config.pids_limit = -1; }},
               Row{"--device=/dev/fuse:/dev/f:rw",
                   [](Job& j) {
                     j.request.devices = {{"/dev/fuse", "/dev/f", "rw"}};
                   }},
               Row{"--device=/dev/kvm:/dev/kvm",
                   [](Job& j) {
                     j.spec.devices = {{"/dev/kvm", "", ""}};
                   }},
               Row{"--mac-address=02:42:ac:11:00:02",
                   [](Job& j) { j.config.mac_address = "02:42:ac:11:00:02"; }},
               Row{"--add-host=db:10.0.0.7",
                   [](Job& j) {
                     j.config.extra_hosts = {{"db", "10.0.0.7"}};
                   }},
               Row{"--label=a=b=c",
                   [](Job& j) {
                     j.request.labels = {{"a", "b=c"}};
                   }},
               Row{"--pull=never", [](Job&) {}}, Row{"--http-proxy=false", [](Job&) {}},
               Row{"--sdnotify=ignore", [](Job&) {}}, Row{"--pidfile=/state/pid", [](Job&) {}},
               Row{"--conmon-pidfile=/state/conmon.pid", [](Job&) {}});
  CAPTURE(row.option);
  Job job;
  row.set(job);
  CHECK(job.has(row.option));
}

TEST_CASE("the job's own user counts more than Nomad's") {
  Job job;
  job.spec.user = "nomad-80123";
  job.config.user = "app";
  CHECK(job.values("--user=") == Strings{"app"});
}

TEST_CASE("no value of a variable is in a command line, in whatever form it is passed on") {
  Job job;
  job.spec.env = {{"TOKEN", "s3cret-a"}, {"KEY", "-----BEGIN\ns3cret-b\n"}};
  job.config.env = {{"PASSWORD", "s3cret-c"}, {"ENDS", "s3cret-d\r"}};
  auto built = job.arguments();
  REQUIRE(built.has_value());
  for (const Strings& part : {built->options, built->tail, built->environment.names}) {
    for (const std::string& word : part) CHECK_FALSE(says(word, "s3cret"));
  }
  CHECK(built->environment.file == "PASSWORD=s3cret-c\nTOKEN=s3cret-a\n");
  CHECK(built->environment.names == Strings{"ENDS", "KEY"});
  CHECK(built->environment.own_entries == Strings{"ENDS=s3cret-d\r", "KEY=-----BEGIN\ns3cret-b\n"});
  CHECK(job.values("--env=") == Strings{"ENDS", "KEY"});
}

TEST_CASE("the job's variables win over Nomad's") {
  Job job;
  job.spec.env = {{"A", "1"}, {"B", "1"}};
  job.config.env = {{"B", "2"}};
  CHECK(podman_environment(job.spec, job.config)->file == "A=1\nB=2\n");
}

TEST_CASE("a variable that would change podman itself is never put into podman's environment") {
  for (const char* name :
       {"PATH", "LD_PRELOAD", "CONTAINERS_CONF", "XDG_RUNTIME_DIR", "HTTPS_PROXY", "no_proxy",
        "REGISTRY_AUTH_FILE", "GODEBUG", "_CONTAINERS_X"}) {
    CAPTURE(name);
    Job job;
    job.config.env = {{name, "two\nlines"}};
    CHECK(says(job.error(), name));
    job.config.env = {{name, "one line"}};
    CHECK(job.arguments()->environment.own_entries.empty());
    CHECK(job.arguments()->environment.file == std::string{name} + "=one line\n");
  }
}

TEST_CASE("a variable that podman's env file would misread is refused by name") {
  for (const char* name : {"", "#A", " A", "A B", "A*", "A\tB", "A\nB", "A=B"}) {
    CAPTURE(name);
    Job job;
    job.spec.env = {{name, "s3cret"}};
    CHECK_FALSE(job.arguments().has_value());
    CHECK_FALSE(says(job.error(), "s3cret"));
  }
  Job job;
  job.spec.env = {{"NUL", std::string{"a\0b", 3}}};
  CHECK(says(job.error(), "NUL"));
  job.spec.env = {{"HUGE", std::string(200'000, 'x')}};
  CHECK(says(job.error(), "128 KiB"));
}

TEST_CASE("a value beyond a line of the env file goes another way") {
  Job job;
  job.spec.env = {{"LONG", std::string(70'000, 'x')}};
  CHECK(podman_environment(job.spec, job.config)->names == Strings{"LONG"});
}

TEST_CASE("values that begin with a hyphen stay values") {
  Job job;
  job.config.command = "-rf";
  job.config.args = {"--privileged", "-v"};
  job.config.entrypoint = Strings{"--help"};
  job.request.labels = {{"-l", "--privileged"}};
  job.config.sysctl = {{"net.x", "--privileged"}};
  job.spec.env = {{"-e", "--privileged"}};
  auto built = job.arguments();
  REQUIRE(built.has_value());
  CHECK(built->tail == Strings{"busybox", "-rf", "--privileged", "-v"});
  for (const std::string& option : built->options) CHECK(option.starts_with("--"));
  CHECK_FALSE(job.has("--privileged"));
  CHECK(job.values("--entrypoint=") == Strings{"[\"--help\"]"});
}

TEST_CASE("an image that looks like an option is refused") {
  Job job;
  for (const char* image : {"", "-it", "--privileged"}) {
    job.request.image = image;
    CHECK(says(job.error(), "no image reference"));
  }
}

TEST_CASE("an entrypoint is passed on as the words that it is") {
  Job job;
  job.config.entrypoint = Strings{"/bin/sh", "-c", "echo \"a\\b\"\n"};
  CHECK(job.values("--entrypoint=") == Strings{R"(["/bin/sh","-c","echo \"a\\b\"\u000a"])"});
  job.config.entrypoint = Strings{"one word"};
  CHECK(job.values("--entrypoint=") == Strings{R"(["one word"])"});
  for (const Strings& none : {Strings{}, Strings{""}}) {
    job.config.entrypoint = none;
    CHECK(job.values("--entrypoint=") == Strings{""});
  }
}

TEST_CASE("a port is published for TCP and UDP on the address that Nomad chose") {
  Job job;
  job.spec.ports = {{"http", 20000, 80, "10.0.0.1"},
                    {"six", 20001, 81, "fd00::1"},
                    {"any", 20002, 82, ""},
                    {"other", 20003, 83, ""}};
  job.config.ports = {"http", "six", "any"};
  CHECK(job.values("--publish=") == Strings{"10.0.0.1:20000:80/tcp", "10.0.0.1:20000:80/udp",
                                            "[fd00::1]:20001:81/tcp", "[fd00::1]:20001:81/udp",
                                            "20002:82/tcp", "20002:82/udp"});
  job.config.network_mode = {Kind::kHost, ""};
  CHECK(job.values("--publish=").empty());
}

TEST_CASE("an unknown port label is refused with those that there are") {
  Job job;
  job.spec.ports = {{"http", 20000, 80, ""}};
  job.config.ports = {"web"};
  CHECK(says(job.error(), "\"web\""));
  CHECK(says(job.error(), "\"http\""));
  job.spec.ports.clear();
  CHECK(says(job.error(), "none at all"));
}

TEST_CASE("network modes become podman's") {
  Job job;
  CHECK(job.values("--network=").empty());
  job.config.network_mode = {Kind::kHost, ""};
  CHECK(job.values("--network=") == Strings{"host"});
  CHECK(job.values("--hostname=").empty());
  job.config.network_mode = {Kind::kNone, ""};
  CHECK(job.values("--network=") == Strings{"none"});
  job.config.network_mode = {Kind::kNamed, "backend"};
  CHECK(job.values("--network=") == Strings{"backend"});
  job.config.network_mode = {Kind::kTask, "db"};
  CHECK(job.values("--network=") == Strings{"container:nomad-db-0a1b2c3d"});
  job.config.network_mode = {Kind::kTask, "web"};
  CHECK(says(job.error(), "its own network"));
}

TEST_CASE("a task joins the namespace that Nomad made for its group") {
  Job job;
  job.spec.group_network = GroupNetwork{"/run/netns/x", "group", "10.1.0.2"};
  job.request.group_address = "10.1.0.2";
  job.spec.ports = {{"http", 20000, 80, ""}};
  job.config.ports = {"http"};
  CHECK(job.values("--network=") == Strings{"ns:/run/netns/x"});
  CHECK(job.values("--hostname=") == Strings{"group"});
  CHECK(job.values("--add-host=") == Strings{"group:10.1.0.2"});
  CHECK(job.values("--publish=").empty());
  job.config.mac_address = "02:42:ac:11:00:02";
  CHECK(says(job.error(), "mac_address"));
  job.config.mac_address.reset();
  job.config.network_mode = {Kind::kNone, ""};
  job.config.ports.clear();
  CHECK(job.values("--network=") == Strings{"none"});
}

TEST_CASE("name servers are the job's, else the group's; a task without a network has none") {
  Job job;
  job.spec.dns = DnsSettings{{"10.0.0.1"}, {"group"}, {"ndots:1"}};
  job.config.dns = {"10.0.0.2"};
  CHECK(job.values("--dns=") == Strings{"10.0.0.2"});
  CHECK(job.values("--dns-search=") == Strings{"group"});
  CHECK(job.values("--dns-option=") == Strings{"ndots:1"});
  for (const Kind kind : {Kind::kNone, Kind::kTask}) {
    job.config.network_mode = {kind, "db"};
    job.config.dns = {"10.0.0.2"};
    CHECK(says(job.error(), "\"dns\""));
    job.config.dns.clear();
    CHECK(job.values("--dns=").empty());
    CHECK(job.values("--dns-search=").empty());
  }
}

TEST_CASE("memory is a hard limit, unless memory_max is that") {
  Job job;
  CHECK(job.values("--memory").empty());
  job.spec.resources.memory_mb = 64;
  CHECK(job.values("--memory=") == Strings{"64m"});
  CHECK(job.values("--memory-swap=") == Strings{"64m"});
  CHECK(job.values("--memory-reservation=").empty());
  job.spec.resources.memory_max_mb = 128;
  CHECK(job.values("--memory=") == Strings{"128m"});
  CHECK(job.values("--memory-swap=") == Strings{"128m"});
  CHECK(job.values("--memory-reservation=") == Strings{"64m"});
  job.spec.resources.memory_max_mb = -1;
  CHECK(job.values("--memory=").empty());
  CHECK(job.values("--memory-swap=").empty());
  CHECK(job.values("--memory-reservation=") == Strings{"64m"});
}

TEST_CASE("CPU becomes shares within the kernel's bounds, cores a set of CPUs") {
  Job job;
  CHECK(job.values("--cpu").empty());
  for (const auto& [mhz, shares] : {std::pair{500, "500"}, {1, "2"}, {1'000'000, "262144"}}) {
    job.spec.resources.cpu_mhz = mhz;
    CHECK(job.values("--cpu-shares=") == Strings{shares});
  }
  job.spec.resources.cpuset = "0,2";
  CHECK(job.values("--cpuset-cpus=") == Strings{"0,2"});
}

TEST_CASE("a mount is written in the form that can hold its paths") {
  Job job;
  job.request.mounts = {{"/a", "/b", {}}, {"/a", "/b", {"ro", "rprivate"}}, {"data", "/d", {"z"}}};
  CHECK(job.values("--volume=") == Strings{"/a:/b", "/a:/b:ro,rprivate", "data:/d:z"});
  job.request.mounts = {{"/a:1", "/b,\"c\"", {"ro", "rslave", "Z", "noexec"}}};
  CHECK(job.values("--mount=") ==
        Strings{R"(type=bind,"source=/a:1","destination=/b,""c""",ro=true,bind-propagation=rslave,)"
                "relabel=private,noexec"});
}

TEST_CASE("the agent's socket is mounted and named, unless the job names another") {
  Job job;
  job.config.ssh_agent = true;
  job.request.ssh_agent_socket = "/tmp/agent";
  CHECK(job.values("--volume=") == Strings{"/tmp/agent:/run/host-services/ssh-auth.sock"});
  CHECK(job.arguments()->environment.file == "SSH_AUTH_SOCK=/run/host-services/ssh-auth.sock\n");
  job.config.env = {{"SSH_AUTH_SOCK", "/other"}};
  CHECK(job.arguments()->environment.file == "SSH_AUTH_SOCK=/other\n");
}

TEST_CASE("what podman cannot do is refused with what to use instead, all of it at once") {
  Job job;
  job.config.rosetta = true;
  job.config.virtualization = true;
  job.config.kernel = "/k";
  job.config.publish_sockets = {{"/a", "/b", {}}};
  job.config.ports = {"nope"};
  const std::string error = job.error();
  for (const char* part : {"\"rosetta\"", "linux/amd64", "\"virtualization\"", "/dev/kvm",
                           "\"kernel\"", "\"publish_sockets\"", "\"nope\""}) {
    CAPTURE(part, error);
    CHECK(says(error, part));
  }
}

}  // namespace
}  // namespace ndc::runtime
