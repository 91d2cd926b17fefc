// What podman says about itself and this host.
#include <rapidjson/document.h>

#include <array>
#include <string>
#include <utility>

#include "model/version_number.hpp"
#include "runtime/doctor_checks.hpp"
#include "runtime/podman_cli.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/podman_json.hpp"

namespace ndc::runtime {
namespace {

constexpr VersionNumber kOldest{4, 3, 0};
constexpr const char* kContainersConf = "/etc/containers/containers.conf";

using rapidjson::Value;

bool ok(const CommandResult& result) { return result.status == ExitStatus{Exited{0}}; }

// A path of member names through objects; nullptr where it does not lead anywhere.
template <std::size_t N>
const Value* at(const Value& root, const std::array<const char*, N>& path) {
  const Value* value = &root;
  for (const char* name : path) {
    if (!value->IsObject()) return nullptr;
    const auto found = value->FindMember(name);
    if (found == value->MemberEnd()) return nullptr;
    value = &found->value;
  }
  return value;
}

template <class... Names>
std::string text(const Value& root, Names... names) {
  const Value* value = at(root, std::array<const char*, sizeof...(Names)>{names...});
  if (value == nullptr || !value->IsString()) return {};
  return std::string{value->GetString(), value->GetStringLength()};
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

Finding program(const std::string& check, const std::string& path, const std::string& version,
                const std::string& package) {
  if (path.empty()) {
    return {check, Verdict::kFailed, "podman found none", "install it: apt install " + package};
  }
  return {check, Verdict::kOk, path + (version.empty() ? "" : ", " + first_line(version)), {}};
}

Findings cgroup_findings(const Value& info) {
  const std::string version = text(info, "host", "cgroupVersion");
  std::string present;
  std::string missing;
  bool vital = false;
  const Value* controllers = at(info, std::array{"host", "cgroupControllers"});
  const auto has = [controllers](const char* name) {
    if (controllers == nullptr || !controllers->IsArray()) return false;
    for (const Value& each : controllers->GetArray()) {
      if (each.IsString() && std::string_view{each.GetString()} == name) return true;
    }
    return false;
  };
  for (const char* name : {"cpu", "memory", "pids", "cpuset"}) {
    std::string& list = has(name) ? present : missing;
    list += (list.empty() ? "" : ", ") + std::string{name};
    if (!has(name) && (std::string_view{name} == "cpu" || std::string_view{name} == "memory")) {
      vital = true;
    }
  }
  const std::string result = (version.empty() ? "" : version + ", ") +
                             (present.empty() ? "no controllers" : "controllers " + present);
  if (missing.empty()) return {{"cgroups", Verdict::kOk, result, {}}};
  return {{"cgroups", vital ? Verdict::kFailed : Verdict::kWarning,
           result + "; missing: " + missing,
           "enable them: cgroup_enable=memory on the kernel's command line, and for cgroup v2 "
           "/sys/fs/cgroup/cgroup.subtree_control"}};
}

}  // namespace

Findings podman_info_findings(std::string_view json) {
  Findings out;
  // parse_info() also bounds size and depth before anything else reads the text.
  const auto known = parse_info(json);
  if (!known) {
    out.push_back({"Podman", Verdict::kFailed, known.error().message(),
                   "check that podman works on this node: podman info"});
    return out;
  }
  rapidjson::Document info;
  info.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  const auto version = parse_version(known->version);
  if (!version || *version < kOldest) {
    out.push_back({"Podman", Verdict::kFailed, "version " + known->version + " is too old",
                   "install Podman 4.3 or newer"});
  } else {
    out.push_back({"Podman", Verdict::kOk, "version " + known->version, {}});
  }
  const Value* rootless = at(info, std::array{"host", "security", "rootless"});
  if (rootless != nullptr && rootless->IsBool() && rootless->GetBool()) {
    out.push_back({"Podman's mode", Verdict::kFailed, "rootless", "run the Nomad client as root"});
  }
  out.push_back(program("OCI runtime", text(info, "host", "ociRuntime", "path"),
                        text(info, "host", "ociRuntime", "version"), "crun"));
  out.push_back(program("conmon", text(info, "host", "conmon", "path"),
                        text(info, "host", "conmon", "version"), "conmon"));
  for (Finding& finding : cgroup_findings(info)) out.push_back(std::move(finding));

  for (Finding& finding : cgroup_manager_findings(text(info, "host", "cgroupManager"))) {
    out.push_back(std::move(finding));
  }

  const std::string backend = text(info, "host", "networkBackend");
  if (backend == "netavark" || backend == "cni") {
    out.push_back({"network backend", Verdict::kOk, backend, {}});
  } else {
    out.push_back({"network backend", Verdict::kFailed, backend.empty() ? "none" : backend,
                   "install one: apt install netavark aardvark-dns"});
  }
  const std::string driver = text(info, "store", "graphDriverName");
  const std::string root = text(info, "store", "graphRoot");
  const std::string where = (driver.empty() ? "unknown" : driver) + " in " + root;
  if (driver == "vfs") {
    out.push_back({"storage", Verdict::kWarning, where + ": every container copies its image",
                   "use overlay: driver = \"overlay\" in /etc/containers/storage.conf"});
  } else {
    out.push_back({"storage", driver.empty() ? Verdict::kWarning : Verdict::kOk, where,
                   driver.empty() ? "see podman info" : ""});
  }
  if (!root.empty()) {
    for (Finding& finding : storage_room_findings(root)) out.push_back(std::move(finding));
  }
  const Value* search = at(info, std::array{"registries", "search"});
  const bool searches = search != nullptr && search->IsArray() && !search->Empty();
  out.push_back({"image names",
                 Verdict::kOk,
                 searches ? "short names are searched for in registries of registries.conf"
                          : "full names only (docker.io/library/busybox:1.36): no "
                            "unqualified-search-registries in registries.conf",
                 {}});
  return out;
}

Findings podman_findings(EventLoop& loop, const DoctorOptions& options) {
  const PluginConfig& config = options.config;
  std::vector<std::string> podman{config.podman_path.empty() ? "podman" : config.podman_path,
                                  "--log-level=error"};
  if (!config.oci_runtime.empty()) podman.push_back("--runtime=" + config.oci_runtime);
  const auto call = [&](std::initializer_list<const char*> words) {
    std::vector<std::string> argv = podman;
    argv.insert(argv.end(), words.begin(), words.end());
    return run_and_wait(loop, std::move(argv), options.timeout, podman_cli_environment());
  };
  const auto info = call({"info", "--format=json"});
  if (!info) {
    const bool missing = info.error().code == ErrorCode::kRuntimeUnavailable;
    return {{"Podman", Verdict::kFailed, info.error().message(),
             missing ? "install Podman 4.3 or newer (apt install podman), or give --podman-path"
                     : "look for what holds podman up: podman --log-level=debug info"}};
  }
  if (!ok(*info)) {
    const std::string reason = podman_reason(info->err);
    std::string cure = "make this work: podman info";
    if (reason.find("unknown flag") != std::string::npos) cure = "install Podman 4.3 or newer";
    if (reason.find("OCI runtime") != std::string::npos ||
        reason.find("invalid runtime") != std::string::npos) {
      cure = std::string{"install it (apt install crun), or correct runtime in "} + kContainersConf;
    }
    return {{"Podman", Verdict::kFailed, "podman info failed: " + reason, std::move(cure)}};
  }
  Findings out = podman_info_findings(info->out);
  if (!tasks_can_run(out)) return out;
  const auto network = call({"network", "exists", "podman"});
  if (network && ok(*network)) {
    out.push_back({"default network", Verdict::kOk, "\"podman\" is there", {}});
  } else {
    out.push_back({"default network", Verdict::kFailed,
                   network ? "\"podman\" does not exist" : network.error().message(),
                   "see podman network ls; podman network create podman"});
  }
  return out;
}

}  // namespace ndc::runtime
