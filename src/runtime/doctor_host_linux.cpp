// What Podman and this driver need of a Linux host, looked at without asking podman.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/doctor_checks.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/proc_linux.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kStateDir = "/var/lib/nomad-driver-container";
constexpr std::uint64_t kMebibyte = 1u << 20;

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// The file of this name on PATH, or in the directories that podman's helpers look into as well.
std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string list = (path != nullptr ? std::string{path} : std::string{}) + ":/usr/sbin:/sbin";
  while (!list.empty()) {
    const std::size_t colon = list.find(':');
    std::string file = list.substr(0, colon) + "/" + name;
    if (file.front() == '/' && ::access(file.c_str(), X_OK) == 0) return file;
    list = colon == std::string::npos ? "" : list.substr(colon + 1);
  }
  return {};
}

Finding system_finding() {
  struct utsname name {};
  ::uname(&name);
  std::string pretty = parse_os_release(read_file("/etc/os-release", 8192).value_or(""));
  if (!pretty.empty()) pretty += ", ";
  return {"operating system",
          Verdict::kOk,
          pretty + name.sysname + " " + name.release + ", " + name.machine,
          {}};
}

Finding user_finding() {
  if (::geteuid() == 0) return {"user", Verdict::kOk, "root", {}};
  return {"user", Verdict::kFailed, "user " + std::to_string(::geteuid()) + ", not root",
          "run this with sudo, and the Nomad client as root"};
}

// A FIFO opened for both reading and writing, as the log route does.
bool fifo_works() {
  std::string directory = "/tmp/ndc-doctor.XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return false;
  const std::string path = directory + "/fifo";
  bool works = false;
  if (::mkfifo(path.c_str(), 0600) == 0) {
    const UniqueFd fd{::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    works = static_cast<bool>(fd) && ::write(fd.get(), "x", 1) == 1;
  }
  ::unlink(path.c_str());
  ::rmdir(directory.c_str());
  return works;
}

Finding kernel_finding() {
  std::string missing;
  const auto need = [&missing](bool there, const char* name) {
    if (!there) missing += (missing.empty() ? "" : ", ") + std::string{name};
  };
  need(static_cast<bool>(open_pidfd(::getpid())), "pidfd_open");
  const UniqueFd inotify{::inotify_init1(IN_CLOEXEC)};
  const int inotify_error = errno;
  need(static_cast<bool>(inotify), "inotify");
  need(static_cast<bool>(UniqueFd{::memfd_create("ndc-doctor", MFD_CLOEXEC)}), "memfd_create");
  need(fifo_works(), "FIFOs in /tmp");
  if (missing.empty()) {
    return {"kernel features", Verdict::kOk, "pidfd, inotify, memfd, FIFOs", {}};
  }
  if (!inotify && inotify_error == EMFILE) {
    return {"kernel features", Verdict::kWarning,
            "no inotify instance is left: exits are seen later",
            "raise fs.inotify.max_user_instances with sysctl"};
  }
  return {"kernel features", Verdict::kFailed, "missing: " + missing,
          "use Linux 5.3 or newer, with seccomp allowing these calls"};
}

Finding ports_finding() {
  const std::string iptables = find_program("iptables");
  const std::string nft = find_program("nft");
  if (!iptables.empty()) return {"packet filter", Verdict::kOk, iptables, {}};
  if (!nft.empty()) {
    return {"packet filter", Verdict::kWarning, nft + " only: netavark before 1.10 needs iptables",
            "apt install iptables"};
  }
  return {"packet filter", Verdict::kFailed,
          "neither iptables nor nft: containers get no network and no ports",
          "apt install iptables"};
}

// Nomad itself sets up group networks, with these plugins.
Finding cni_finding() {
  constexpr std::array kPlugins{"bridge", "firewall", "host-local", "loopback", "portmap"};
  constexpr const char* kNomadsOwn = "/opt/cni/bin";
  std::string missing;
  for (const std::string directory : {kNomadsOwn, "/usr/lib/cni", "/usr/libexec/cni"}) {
    missing.clear();
    for (const char* name : kPlugins) {
      if (!exists(directory + "/" + name)) missing += " " + std::string{name};
    }
    if (!missing.empty()) continue;
    std::string result = directory;
    if (directory != kNomadsOwn) {
      result += "; for network { mode = \"bridge\" } the client block needs cni_path = ";
      result += quoted(directory);
    }
    return {"CNI plugins", Verdict::kOk, std::move(result), {}};
  }
  return {"CNI plugins", Verdict::kWarning,
          "not found: network { mode = \"bridge\" } of Nomad will not work",
          "apt install containernetworking-plugins, and cni_path = \"/usr/lib/cni\" in the client "
          "block"};
}

// Makes what the first task would make, and takes away again what was not there.
Finding state_finding(const std::string& directory) {
  const bool was_there = exists(directory);
  const PodmanFiles files{directory, "doctor-" + std::to_string(::getpid())};
  const auto made = files.make({});
  files.remove();
  if (!was_there) ::rmdir(directory.c_str());
  if (made) return {"state directory", Verdict::kOk, directory, {}};
  return {"state directory", Verdict::kFailed, made.error().message(),
          "make it root's own with mode 0700, or set state_dir"};
}

Finding policy_finding() {
  std::string own;
  if (const char* home = std::getenv("HOME"))
    own = std::string{home} + "/.config/containers/policy.json";
  for (const std::string& path : {own, std::string{"/etc/containers/policy.json"}}) {
    if (!path.empty() && exists(path)) return {"image policy", Verdict::kOk, path, {}};
  }
  return {"image policy", Verdict::kWarning, "there is no policy.json: podman pulls no image",
          "apt install golang-github-containers-common, or write /etc/containers/policy.json"};
}

}  // namespace

std::string parse_os_release(std::string_view text) {
  constexpr std::string_view kKey = "PRETTY_NAME=\"";
  const std::size_t begin = text.find(kKey);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + kKey.size());
  return std::string{text.substr(0, text.find('"'))};
}

Findings podman_host_findings(const DoctorOptions& options) {
  const std::string& state = options.config.state_dir;
  return {system_finding(), user_finding(), kernel_finding(),
          ports_finding(),  cni_finding(),  state_finding(state.empty() ? kStateDir : state),
          policy_finding()};
}

Findings cgroup_manager_findings(const std::string& manager) {
  if (manager.empty()) return {};
  if (manager == "systemd" && !exists("/run/systemd/system")) {
    return {
        {"cgroup manager", Verdict::kFailed, "systemd, which does not run here",
         "set cgroup_manager = \"cgroupfs\" under [engine] in /etc/containers/containers.conf"}};
  }
  return {{"cgroup manager", Verdict::kOk, manager, {}}};
}

Findings storage_room_findings(const std::string& path) {
  struct statvfs room {};
  if (::statvfs(path.c_str(), &room) != 0) return {};
  const std::uint64_t free = room.f_bavail * static_cast<std::uint64_t>(room.f_frsize) / kMebibyte;
  const std::string text = std::to_string(free) + " MiB free in " + path;
  const std::string cure = "make room: podman image prune, or a larger disk";
  if (free < 100) return {{"disk space", Verdict::kFailed, text, cure}};
  if (free < 2048) return {{"disk space", Verdict::kWarning, text, cure}};
  return {{"disk space", Verdict::kOk, text, {}}};
}

}  // namespace ndc::runtime
