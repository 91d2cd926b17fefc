// A container-like place for the workload on Linux: only as root and with NDC_STANDIN_ROOTFS. The
// network stays this machine's.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "standin/files.hpp"
#include "standin/sandbox.hpp"
#include "standin/text.hpp"

namespace standin {
namespace {

bool is_sandboxed(const Plan& plan) { return !plan.rootfs.empty() && geteuid() == 0; }

std::string trouble(const std::string& what) { return what + ": " + std::strerror(errno); }

bool is_directory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool bind(const std::string& from, const std::string& to, bool read_only) {
  if (is_directory(from)) {
    if (!make_directories(to)) return false;
  } else if (access(to.c_str(), F_OK) != 0) {
    const auto slash = to.rfind('/');
    if (!make_directories(to.substr(0, slash))) return false;
    const Fd fd(open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!fd) return false;
  }
  if (mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) return false;
  return !read_only ||
         mount(nullptr, to.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
}

// The container's own root: directories that a workload writes to are its own, the rest of the
// image is bound read-only. What it writes is kept over a restart, as in a stopped machine.
std::string build_root(const Plan& plan, const std::string& root) {
  static constexpr std::array kOwn = {"tmp", "var", "run", "root", "home", "mnt",
                                      "opt", "srv", "etc", "proc", "sys",  "dev"};
  for (const char* name : kOwn) {
    if (!make_directories(root + "/" + name)) return trouble("cannot make " + root);
  }
  chmod((root + "/tmp").c_str(), 01777);
  if (mount(root.c_str(), root.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return trouble("cannot bind " + root);
  }
  for (const auto& name : list_directory(plan.rootfs)) {
    const std::string from = plan.rootfs + "/" + name;
    const std::string to = root + "/" + name;
    if (std::find(kOwn.begin(), kOwn.end(), name) != kOwn.end()) continue;
    char target[4096];
    const ssize_t size = readlink(from.c_str(), target, sizeof target - 1);
    if (size > 0) {
      target[size] = '\0';
      if (symlink(target, to.c_str()) != 0 && errno != EEXIST) return trouble("cannot link " + to);
    } else if (!bind(from, to, true)) {
      return trouble("cannot bind " + from);
    }
  }
  for (const auto& name : list_directory(plan.rootfs + "/etc")) {
    const auto text = read_file(plan.rootfs + "/etc/" + name);
    const std::string to = root + "/etc/" + name;
    if (!text || access(to.c_str(), F_OK) == 0) continue;
    write_file(to, *text);
    chmod(to.c_str(), 0644);
  }
  return {};
}

void write_etc(const Plan& plan, const std::string& root) {
  const auto put_file = [&](const char* name, const std::string& text) {
    write_file(root + "/etc/" + name, text);
    chmod((root + "/etc/" + name).c_str(), 0644);
  };
  const std::string hostname = plan.id.substr(0, plan.id.find('.'));
  put_file("hostname", hostname + "\n");
  put_file("hosts", "127.0.0.1 localhost\n127.0.0.1 " + hostname + "\n");
  if (plan.resolv_conf.find("nameserver") != std::string::npos) {
    put_file("resolv.conf", plan.resolv_conf);
  } else {
    put_file("resolv.conf", read_file("/etc/resolv.conf").value_or("") + plan.resolv_conf);
  }
  [[maybe_unused]] const int named = sethostname(hostname.data(), hostname.size());
}

std::string mount_devices(const Plan& plan, const std::string& root) {
  if (mount("proc", (root + "/proc").c_str(), "proc", 0, nullptr) != 0) {
    return trouble("cannot mount /proc");
  }
  // Best effort: it shows the network's interfaces.
  mount("sysfs", (root + "/sys").c_str(), "sysfs", MS_RDONLY, nullptr);
  const std::string dev = root + "/dev";
  if (mount("tmpfs", dev.c_str(), "tmpfs", MS_NOSUID, "mode=755,size=64k") != 0) {
    return trouble("cannot mount /dev");
  }
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx"}) {
    bind(std::string("/dev/") + name, dev + "/" + name, false);
  }
  for (const auto& [name, target] :
       {std::pair{"fd", "/proc/self/fd"}, std::pair{"stdin", "/proc/self/fd/0"},
        std::pair{"stdout", "/proc/self/fd/1"}, std::pair{"stderr", "/proc/self/fd/2"}}) {
    [[maybe_unused]] const int linked = symlink(target, (dev + "/" + name).c_str());
  }
  make_directories(dev + "/shm");
  const std::string size = "mode=1777,size=" + std::to_string(plan.shm_bytes);
  mount("shm", (dev + "/shm").c_str(), "tmpfs", MS_NOSUID | MS_NODEV, size.c_str());
  return {};
}

std::string mount_all(const Plan& plan, const std::string& root) {
  for (const auto& one : plan.mounts) {
    const std::string to = root + "/" + one.destination;
    if (one.kind == PlannedMount::Kind::tmpfs) {
      std::string data = "mode=1777";
      for (const auto& option : one.options) data += "," + option;
      if (!make_directories(to) || mount("tmpfs", to.c_str(), "tmpfs", 0, data.c_str()) != 0) {
        return trouble("cannot mount a tmpfs at " + one.destination);
      }
      continue;
    }
    const bool read_only =
        std::find(one.options.begin(), one.options.end(), "ro") != one.options.end();
    if (!bind(one.source, to, read_only)) {
      return trouble("cannot mount " + one.source + " at " + one.destination);
    }
  }
  return {};
}

// ---------------------------------------------------------------------------------------------

// The line of /etc/passwd or /etc/group whose first field is `name`.
std::vector<std::string> database_line(const char* file, const std::string& name) {
  for (const auto& line : split(read_file(file).value_or(""), '\n')) {
    auto fields = split(line, ':');
    if (fields[0] == name && fields.size() >= 3) return fields;
  }
  return {};
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

std::string become_user(const Plan& plan) {
  uid_t uid = plan.uid;
  gid_t gid = plan.gid;
  if (!plan.user.empty()) {
    const auto parts = split(plan.user, ':');
    const auto user = database_line("/etc/passwd", parts[0]);
    if (is_number(parts[0])) {
      uid = static_cast<uid_t>(std::strtoul(parts[0].c_str(), nullptr, 10));
    } else if (user.size() >= 4) {
      uid = static_cast<uid_t>(std::strtoul(user[2].c_str(), nullptr, 10));
      gid = static_cast<gid_t>(std::strtoul(user[3].c_str(), nullptr, 10));
    } else {
      return "failed to find user " + parts[0] + " in /etc/passwd";
    }
    if (parts.size() > 1) {
      const auto group = database_line("/etc/group", parts[1]);
      if (!is_number(parts[1]) && group.empty()) return "failed to find group " + parts[1];
      gid = static_cast<gid_t>(
          std::strtoul((group.empty() ? parts[1] : group[2]).c_str(), nullptr, 10));
    }
  }
  if (setgroups(plan.groups.size(), plan.groups.data()) != 0 || setgid(gid) != 0 ||
      setuid(uid) != 0) {
    return trouble("cannot become user " + plan.user);
  }
  return {};
}

constexpr std::array kCapabilityNames = {"CHOWN",
                                         "DAC_OVERRIDE",
                                         "DAC_READ_SEARCH",
                                         "FOWNER",
                                         "FSETID",
                                         "KILL",
                                         "SETGID",
                                         "SETUID",
                                         "SETPCAP",
                                         "LINUX_IMMUTABLE",
                                         "NET_BIND_SERVICE",
                                         "NET_BROADCAST",
                                         "NET_ADMIN",
                                         "NET_RAW",
                                         "IPC_LOCK",
                                         "IPC_OWNER",
                                         "SYS_MODULE",
                                         "SYS_RAWIO",
                                         "SYS_CHROOT",
                                         "SYS_PTRACE",
                                         "SYS_PACCT",
                                         "SYS_ADMIN",
                                         "SYS_BOOT",
                                         "SYS_NICE",
                                         "SYS_RESOURCE",
                                         "SYS_TIME",
                                         "SYS_TTY_CONFIG",
                                         "MKNOD",
                                         "LEASE",
                                         "AUDIT_WRITE",
                                         "AUDIT_CONTROL",
                                         "SETFCAP",
                                         "MAC_OVERRIDE",
                                         "MAC_ADMIN",
                                         "SYSLOG",
                                         "WAKE_ALARM",
                                         "BLOCK_SUSPEND",
                                         "AUDIT_READ",
                                         "PERFMON",
                                         "BPF",
                                         "CHECKPOINT_RESTORE"};

bool has(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

void drop_capabilities(const Plan& plan) {
  if (plan.every_capability) return;
  static const std::vector<std::string> standard = {
      "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",
      "MKNOD",   "NET_RAW",      "SETGID",           "SETUID",
      "SETFCAP", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT",
      "KILL",    "AUDIT_WRITE"};
  for (size_t i = 0; i < kCapabilityNames.size(); ++i) {
    const std::string name = kCapabilityNames[i];
    bool kept = !has(plan.cap_drop, "ALL") && has(standard, name);
    kept = kept || has(plan.cap_add, "ALL") || has(plan.cap_add, "CAP_" + name);
    kept = kept && !has(plan.cap_drop, "CAP_" + name);
    if (!kept) prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
  }
}

std::string enter_directory(const Plan& plan) {
  if (chdir(plan.cwd.c_str()) == 0) return {};
  if (make_directories(plan.cwd) && chdir(plan.cwd.c_str()) == 0) return {};
  return "cannot enter working directory " + plan.cwd;
}

std::string enter_root(int root) {
  if (fchdir(root) != 0 || chroot(".") != 0) return trouble("cannot enter the container");
  return {};
}

// Opened before the mount namespace changes, and with it /proc.
int joined_root = -1;

}  // namespace

void sandbox_prepare_helper() {
  // What the workload leaves behind becomes a child of the helper, which kills it.
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

std::string sandbox_enter_network(const Plan& plan) {
  if (!plan.own_network || !is_sandboxed(plan)) return {};
  if (unshare(CLONE_NEWNET) != 0) return trouble("cannot make a network namespace");
  const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP;
  if (!fd || ioctl(fd.get(), SIOCSIFFLAGS, &loopback) != 0) return trouble("cannot bring lo up");
  return {};
}

pid_t sandbox_fork(const Plan& plan) {
  if (!is_sandboxed(plan)) {
    const pid_t helper = getpid();
    const pid_t pid = fork();
    if (pid == 0 && plan.join == 0) {
      // The machine ends with its helper.
      prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      if (getppid() != helper) _exit(137);
    }
    return pid;
  }
  if (plan.join == 0) {
    if (unshare(CLONE_NEWPID) != 0) return -1;
    const pid_t pid = fork();
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return pid;
  }
  const std::string proc = "/proc/" + std::to_string(plan.join);
  const Fd pids(open((proc + "/ns/pid_for_children").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd mounts(open((proc + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd network(open((proc + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd names(open((proc + "/ns/uts").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd root(open((proc + "/root").c_str(), O_RDONLY | O_CLOEXEC));
  if (!root || setns(pids.get(), CLONE_NEWPID) != 0) return -1;
  const pid_t pid = fork();
  if (pid == 0) {
    if (setns(network.get(), CLONE_NEWNET) != 0 || setns(names.get(), CLONE_NEWUTS) != 0 ||
        setns(mounts.get(), CLONE_NEWNS) != 0) {
      _exit(127);
    }
    joined_root = dup(root.get());
  }
  return pid;
}

std::string sandbox_enter(const Plan& plan) {
  if (!is_sandboxed(plan)) {
    if (chdir(plan.cwd.c_str()) == 0) return {};
    // A directory that only the image would have is made below the container's own.
    const std::string inside = plan.directory + "/rootfs/" + plan.cwd;
    if (make_directories(inside) && chdir(inside.c_str()) == 0) return {};
    return "cannot enter working directory " + plan.cwd;
  }
  std::string problem;
  if (plan.join != 0) {
    problem = enter_root(joined_root);
    close(joined_root);
  } else {
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return trouble("cannot make a mount namespace");
    }
    const std::string root = plan.directory + "/rootfs";
    problem = build_root(plan, root);
    if (problem.empty()) problem = mount_devices(plan, root);
    if (problem.empty()) write_etc(plan, root);
    if (problem.empty()) problem = mount_all(plan, root);
    make_directories(root + "/" + plan.cwd);
    if (problem.empty() && plan.read_only) {
      mount(nullptr, root.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr);
    }
    if (problem.empty() && (chdir(root.c_str()) != 0 || chroot(".") != 0)) {
      problem = trouble("cannot enter " + root);
    }
  }
  if (problem.empty()) problem = enter_directory(plan);
  if (problem.empty()) drop_capabilities(plan);
  if (problem.empty()) problem = become_user(plan);
  return problem;
}

bool sandbox_sweep() {
  const auto text = read_file("/proc/self/task/" + std::to_string(getpid()) + "/children");
  bool any = false;
  for (const auto& word : split(text.value_or(""), ' ')) {
    const long pid = std::strtol(word.c_str(), nullptr, 10);
    if (pid > 1) any = kill(static_cast<pid_t>(pid), SIGKILL) == 0 || any;
  }
  return any;
}

}  // namespace standin
