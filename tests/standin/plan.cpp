#include "standin/plan.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "standin/settings.hpp"
#include "standin/version.hpp"

namespace standin {
namespace {

int resource_of(const std::string& name) {
  static const std::array<std::pair<const char*, int>, 7> known = {{
      {"RLIMIT_CORE", RLIMIT_CORE},
      {"RLIMIT_CPU", RLIMIT_CPU},
      {"RLIMIT_DATA", RLIMIT_DATA},
      {"RLIMIT_FSIZE", RLIMIT_FSIZE},
      {"RLIMIT_NOFILE", RLIMIT_NOFILE},
      {"RLIMIT_STACK", RLIMIT_STACK},
#ifdef RLIMIT_MEMLOCK
      {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
#else
      {"", -1},
#endif
  }};
  for (const auto& [text, number] : known) {
    if (name == text) return number;
  }
  return -1;
}

void add_user(Plan* plan, const Value& user) {
  if (user.HasMember("raw")) {
    plan->user = get_string(user["raw"], "userString");
  } else if (user.HasMember("id")) {
    plan->uid = user["id"]["uid"].GetUint();
    plan->gid = user["id"]["gid"].GetUint();
  }
}

void add_mounts(const Store& store, Plan* plan, const Json& record, bool starting) {
  const auto& mounts = record["configuration"]["mounts"];
  for (const auto& mount : mounts.GetArray()) {
    PlannedMount planned;
    planned.source = get_string(mount, "source");
    planned.destination = get_string(mount, "destination");
    planned.options = get_strings(mount, "options");
    const auto& type = mount["type"];
    if (type.HasMember("tmpfs")) {
      planned.kind = PlannedMount::Kind::tmpfs;
    } else if (type.HasMember("volume")) {
      planned.source = store.path("volumes/" + get_string(type["volume"], "name") + "/data");
    } else if (starting && access(planned.source.c_str(), F_OK) != 0) {
      if (plan->every_capability) fail("path '" + planned.source + "' is not a directory");
      fail("mount source path '" + planned.source + "' does not exist");
    }
    plan->mounts.push_back(std::move(planned));
  }
}

void add_sockets(Plan* plan, const Json& record) {
  for (const auto& socket : record["configuration"]["publishedSockets"].GetArray()) {
    const std::string inside = get_string(socket, "containerPath");
    std::string target = plan->directory + "/rootfs" + inside;
    for (const auto& mount : plan->mounts) {
      if (mount.kind == PlannedMount::Kind::bind && inside.starts_with(mount.destination + "/")) {
        target = mount.source + inside.substr(mount.destination.size());
      }
    }
    plan->sockets.push_back({get_string(socket, "hostPath"), std::move(target)});
  }
}

// The user's SSH agent, under a path that moved after 0.11.
void add_ssh(Plan* plan, const Json& record) {
  const std::string socket = get_string(record["settings"], "ssh-auth-sock");
  if (!get_bool(record["configuration"], "ssh") || socket.empty()) return;
  const std::string inside = plan->every_capability ? "/run/host-services/ssh-auth.sock"
                                                    : "/var/host-services/ssh-auth.sock";
  plan->mounts.push_back({PlannedMount::Kind::bind, socket, inside, {}});
  plan->env.push_back("SSH_AUTH_SOCK=" + inside);
}

std::string resolv_conf(const Value& dns) {
  std::string text;
  for (const auto& server : get_strings(dns, "nameservers")) text += "nameserver " + server + "\n";
  std::string search;
  for (const auto& domain : get_strings(dns, "searchDomains")) search += " " + domain;
  const std::string domain = get_string(dns, "domain");
  if (!domain.empty()) text += "domain " + domain + "\n";
  if (!search.empty()) text += "search" + search + "\n";
  for (const auto& option : get_strings(dns, "options")) text += "options " + option + "\n";
  return text;
}

}  // namespace

Plan plan_container(const Store& store, const Json& record, bool starting) {
  Plan plan;
  const auto& configuration = record["configuration"];
  const auto& process = configuration["initProcess"];
  plan.id = get_string(record, "id");
  plan.directory = store.container_path(plan.id);
  plan.words = get_strings(process, "arguments");
  plan.words.insert(plan.words.begin(), get_string(process, "executable"));
  plan.env = get_strings(process, "environment");
  plan.cwd = get_string(process, "workingDirectory");
  plan.tty = get_bool(process, "terminal");
  add_user(&plan, process["user"]);
  for (const auto& group : process["supplementalGroups"].GetArray()) {
    plan.groups.push_back(group.GetUint());
  }
  for (const auto& limit : process["rlimits"].GetArray()) {
    const int resource = resource_of(get_string(limit, "limit"));
    if (resource < 0) continue;
    plan.limits.emplace_back(resource, rlimit{static_cast<rlim_t>(limit["soft"].GetUint64()),
                                              static_cast<rlim_t>(limit["hard"].GetUint64())});
  }
  plan.every_capability = get_string(record, "version") == to_string(kOldest);
  plan.rootfs = setting("ROOTFS");
  add_mounts(store, &plan, record, starting);
  add_sockets(&plan, record);
  add_ssh(&plan, record);
  if (configuration["networks"].Size() != 0) {
    for (const auto& port : configuration["publishedPorts"].GetArray()) {
      for (unsigned i = 0; i < port["count"].GetUint(); ++i) {
        plan.ports.push_back({get_string(port, "hostAddress"), port["hostPort"].GetUint() + i,
                              port["containerPort"].GetUint() + i,
                              get_string(port, "proto") == "udp"});
      }
    }
  }
  plan.own_network = configuration["networks"].Size() == 0 || !setting("NETNS").empty();
  plan.cap_add = get_strings(configuration, "capAdd");
  plan.cap_drop = get_strings(configuration, "capDrop");
  if (configuration.HasMember("dns")) plan.resolv_conf = resolv_conf(configuration["dns"]);
  plan.shm_bytes = configuration.HasMember("shmSize") ? configuration["shmSize"].GetUint64()
                                                      : uint64_t{64} << 20;
  plan.read_only = get_bool(configuration, "readOnly");
  plan.use_init = get_bool(configuration, "useInit");
  plan.remove_after = get_bool(record["settings"], "rm");
  complete_env(&plan);
  return plan;
}

void complete_env(Plan* plan) {
  const auto add = [&](const std::string& name, const std::string& value) {
    const bool there = std::any_of(plan->env.begin(), plan->env.end(), [&](const auto& entry) {
      return entry.starts_with(name + "=");
    });
    if (!there) plan->env.push_back(name + "=" + value);
  };
  add("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  add("HOME", plan->user.empty() && plan->uid == 0 ? "/root" : "/");
  if (plan->tty) add("TERM", "xterm");
}

}  // namespace standin
