#include "cli/apple_effect.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "model/byte_size.hpp"
#include "runtime/apple_labels.hpp"
#include "standin/json.hpp"
#include "standin/values.hpp"

namespace ndc::test {
namespace {

using standin::get_bool;
using standin::get_string;
using standin::get_strings;
using standin::Value;
using Kind = NetworkMode::Kind;
using Words = std::vector<std::string>;

std::string show(const std::string& text) { return "\"" + text + "\""; }
std::string show(bool value) { return value ? "true" : "false"; }
std::string show(std::uint64_t value) { return std::to_string(value); }
std::string show(const std::pair<const std::string, std::string>& entry) {
  return show(entry.first + "=" + entry.second);
}
template <class Range>
std::string show(const Range& range) {
  std::string out = "[";
  for (const auto& each : range) out += " " + show(each);
  return out + " ]";
}

// Sections in the order of the record's keys.
class Comparison {
 public:
  Comparison(const runtime::AppleRequest& request, const Value& record)
      : request_{request},
        spec_{*request.spec},
        task_{*request.config},
        made_{record["configuration"]},
        process_{made_["initProcess"]},
        settings_{record["settings"]} {}

  std::string run() {
    process();
    mounts();
    network();
    resources();
    machine();
    return std::move(wrong_);
  }

 private:
  template <class T>
  void same(const char* key, const T& want, const T& got) {
    if (want == got) return;
    wrong_ += std::string{key} + ": wanted " + show(want) + ", got " + show(got) + "\n";
  }

  void process() {
    same("image", standin::normal_reference(task_.image), get_string(made_["image"], "reference"));
    Words got{get_string(process_, "executable")};
    for (std::string& word : get_strings(process_, "arguments")) got.push_back(std::move(word));
    same("command", words(), got);
    same("working_dir", task_.working_dir.value_or("/"), get_string(process_, "workingDirectory"));
    const std::string user = task_.user.value_or(spec_.user);
    const Value& made_user = process_["user"];
    same("user", user,
         made_user.HasMember("raw") ? get_string(made_user["raw"], "userString") : "");
    same("tty", task_.tty, get_bool(process_, "terminal"));
    same("init", task_.init, get_bool(made_, "useInit"));
    same("readonly_rootfs", task_.readonly_rootfs, get_bool(made_, "readOnly"));
    same("cap_add", task_.cap_add, get_strings(made_, "capAdd"));
    same("cap_drop", task_.cap_drop, get_strings(made_, "capDrop"));
    environment();
    labels();
  }

  // The image of the stand-in has no ENTRYPOINT, and /bin/sh as CMD.
  Words words() const {
    Words out;
    const bool clears =
        task_.entrypoint && (task_.entrypoint->empty() || task_.entrypoint->front().empty());
    if (task_.entrypoint && !clears) out = *task_.entrypoint;
    if (task_.command) out.push_back(*task_.command);
    out.insert(out.end(), task_.args.begin(), task_.args.end());
    if (out.empty()) out.emplace_back("/bin/sh");
    return out;
  }

  void environment() {
    std::map<std::string, std::string> want{
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
    const auto put = [&want](const auto& all) {
      for (const auto& [name, value] : all) want[name] = value;
    };
    put(spec_.env);
    if (task_.ssh_agent) {
      const bool oldest = request_.version.major == 0 && request_.version.minor == 11;
      want["SSH_AUTH_SOCK"] =
          oldest ? "/run/host-services/ssh-auth.sock" : "/var/host-services/ssh-auth.sock";
    }
    if (request_.peer) {
      std::string suffix = "_";
      for (const char c : task_.network_mode.name) {
        const auto byte = static_cast<unsigned char>(c);
        suffix += std::isalnum(byte) != 0 ? static_cast<char>(std::toupper(byte)) : '_';
      }
      want["NOMAD_PEER_IP" + suffix] = request_.peer->address;
      const std::string& name = request_.peer->host_name;
      if (!name.empty()) want["NOMAD_PEER_HOST" + suffix] = name;
    }
    put(task_.env);
    std::map<std::string, std::string> got;
    for (const std::string& entry : get_strings(process_, "environment")) {
      const std::size_t equals = entry.find('=');
      got[entry.substr(0, equals)] = equals == std::string::npos ? "" : entry.substr(equals + 1);
    }
    same("env", want, got);
  }

  void labels() {
    std::map<std::string, std::string> want;
    for (const auto& [key, value] : request_.labels) want[key] = value;
    std::map<std::string, std::string> got;
    for (const auto& member : made_["labels"].GetObject()) {
      got[member.name.GetString()] = runtime::decode_label(member.value.GetString());
    }
    same("labels", want, got);
  }

  // Where a path of the job leads to on this host.
  std::string real(const std::string& path) const {
    const bool absolute = path.starts_with('/');
    return std::filesystem::canonical(absolute ? path : spec_.task_dir() + "/" + path).string();
  }

  // Where Nomad says that one of its directories is.
  std::string place(const char* variable, const char* otherwise) const {
    const auto found = spec_.env.find(variable);
    const bool given = found != spec_.env.end() && found->second.starts_with('/');
    return given ? found->second : std::string{otherwise};
  }

  void mounts() {
    std::multiset<std::string> want;
    const auto line = [](const char* kind, const std::string& source, const std::string& target,
                         Words options) {
      std::sort(options.begin(), options.end());
      std::string out = std::string{kind} + " " + source + " on " + target;
      for (const std::string& option : options) out += "," + option;
      return out;
    };
    const auto share = [&](const std::string& path, const std::string& target, Words options) {
      want.insert(line("share", real(path), target, std::move(options)));
    };
    share("../alloc", place("NOMAD_ALLOC_DIR", "/alloc"), {});
    share("local", place("NOMAD_TASK_DIR", "/local"), {});
    share("secrets", place("NOMAD_SECRETS_DIR", "/secrets"), {});
    for (const HostMount& mount : spec_.mounts) {
      share(mount.host_path, mount.task_path, mount.read_only ? Words{"ro"} : Words{});
    }
    for (const Volume& volume : task_.volumes) {
      Words options;  // of those the ones that a share does not have anyway
      for (const std::string& option : volume.options) {
        const bool counts = option == "ro" || option.starts_with("no");
        if (counts && option != "nocopy") options.push_back(option);
      }
      if (volume.named()) {
        want.insert(line("volume", volume.source, volume.target, options));
      } else {
        share(volume.source, volume.target, options);
      }
    }
    for (const Tmpfs& tmpfs : task_.tmpfs) {
      Words options;
      for (const std::string& option : split(tmpfs.options)) {
        if (option == "rw" || option.empty()) continue;
        options.push_back(option.starts_with("size=") ? whole_size(option.substr(5)) : option);
      }
      want.insert(line("tmpfs", "tmpfs", tmpfs.path, options));
    }
    std::multiset<std::string> got;
    for (const Value& mount : made_["mounts"].GetArray()) {
      const Value& type = mount["type"];
      const bool named = type.HasMember("volume");
      const char* kind = named ? "volume" : type.HasMember("tmpfs") ? "tmpfs" : "share";
      got.insert(line(kind,
                      named ? get_string(type["volume"], "name") : get_string(mount, "source"),
                      get_string(mount, "destination"), get_strings(mount, "options")));
    }
    same("mounts", want, got);
  }

  // No less than was asked for, in whole MiB.
  static std::string whole_size(const std::string& text) {
    constexpr std::int64_t kMiB = 1 << 20;
    return "size=" + std::to_string((*parse_byte_size(text) + kMiB - 1) / kMiB * kMiB);
  }

  static Words split(const std::string& text) {
    Words out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t comma = std::min(text.find(',', at), text.size());
      out.push_back(text.substr(at, comma - at));
      at = comma + 1;
    }
    return out;
  }

  void network() {
    const Kind kind = task_.network_mode.kind;
    Words want;
    if (kind == Kind::kNamed) want = {task_.network_mode.name};
    if (kind == Kind::kTask && request_.peer) want = request_.peer->networks;
    if (kind == Kind::kTask && !request_.peer) want = {"nomad-" + spec_.alloc_id};
    if (kind == Kind::kDefault || kind == Kind::kHost) want = {"default"};
    if (task_.mac_address && !want.empty()) want.front() += " " + *task_.mac_address;
    Words got;
    for (const Value& attachment : made_["networks"].GetArray()) {
      const std::string mac = get_string(attachment["options"], "macAddress");
      got.push_back(get_string(attachment, "network") + (mac.empty() ? "" : " " + mac));
      same("host name", request_.id, get_string(attachment["options"], "hostname"));
    }
    same("network_mode", want, got);
    ports();
    if (kind == Kind::kNone) return;
    const DnsSettings group = spec_.dns.value_or(DnsSettings{});
    const auto dns = [&](const char* key, const Words& own, const Words& inherited) {
      same(key, own.empty() ? inherited : own, get_strings(made_["dns"], key));
    };
    dns("nameservers", task_.dns, group.servers);
    dns("searchDomains", task_.dns_search, group.searches);
    dns("options", task_.dns_options, group.options);
  }

  void ports() {
    const Kind kind = task_.network_mode.kind;
    std::map<int, std::pair<std::string, int>> mappings;  // by port of the host
    for (const PortMapping& port : spec_.ports) {
      const bool wanted = std::count(task_.ports.begin(), task_.ports.end(), port.label) > 0;
      if (kind == Kind::kNone || (kind != Kind::kHost && !wanted)) continue;
      const std::string address = port.host_ip.empty() ? "0.0.0.0" : port.host_ip;
      const auto [found, is_new] = mappings.try_emplace(
          port.host_port, address, kind == Kind::kHost ? port.host_port : port.task_port);
      if (!is_new && found->second.first != address) found->second.first = "0.0.0.0";
    }
    std::set<std::string> want;
    for (const auto& [host_port, mapping] : mappings) {
      for (const char* protocol : {"tcp", "udp"}) {
        want.insert(mapping.first + " " + std::to_string(host_port) + " to " +
                    std::to_string(mapping.second) + " " + protocol);
      }
    }
    std::set<std::string> got;
    for (const Value& port : made_["publishedPorts"].GetArray()) {
      for (unsigned i = 0; i < port["count"].GetUint(); ++i) {
        got.insert(get_string(port, "hostAddress") + " " +
                   std::to_string(port["hostPort"].GetUint() + i) + " to " +
                   std::to_string(port["containerPort"].GetUint() + i) + " " +
                   get_string(port, "proto"));
      }
    }
    same("ports", want, got);
  }

  void resources() {
    const std::map<std::string, unsigned> cores{{"0", 1}, {"0-3", 4}, {"1,5", 2}};
    const auto reserved = cores.find(spec_.resources.cpuset);
    const double share = std::ceil(spec_.resources.node_share * request_.host_cpus - 1e-9);
    const double cpus = reserved != cores.end() ? reserved->second
                                                : std::clamp<double>(share, 1, request_.host_cpus);
    const Value& made = made_["resources"];
    same("cpus", static_cast<std::uint64_t>(cpus),
         static_cast<std::uint64_t>(made["cpus"].GetInt64()));
    const std::int64_t memory =
        std::max({std::int64_t{200}, spec_.resources.memory_mb, spec_.resources.memory_max_mb});
    same("memory", static_cast<std::uint64_t>(memory) << 20, made["memoryInBytes"].GetUint64());
    std::uint64_t shm = 0;  // not given
    if (task_.shm_size) shm = ((static_cast<std::uint64_t>(*task_.shm_size) + 0xFFFFF) >> 20) << 20;
    same("shm_size", shm, made_.HasMember("shmSize") ? made_["shmSize"].GetUint64() : 0);
    std::set<std::string> want;
    const auto number = [](std::int64_t value) {
      return std::to_string(value < 0 ? UINT64_MAX : static_cast<std::uint64_t>(value));
    };
    for (const auto& [name, limit] : task_.ulimit) {
      std::string upper = "RLIMIT_";
      for (const char c : name)
        upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      want.insert(upper + " " + number(limit.soft) + ":" + number(limit.hard));
    }
    std::set<std::string> got;
    for (const Value& limit : process_["rlimits"].GetArray()) {
      got.insert(get_string(limit, "limit") + " " + std::to_string(limit["soft"].GetUint64()) +
                 ":" + std::to_string(limit["hard"].GetUint64()));
    }
    same("ulimit", want, got);
  }

  void machine() {
    same("hostname", task_.hostname.value_or("nomad-main-0a1b2c3d"),
         request_.id.substr(0, request_.id.find('.')));
    const Value& platform = made_["platform"];
    const std::string made =
        get_string(platform, "os") + "/" + get_string(platform, "architecture");
    const std::string own = runtime::apple_host_platform();
    const std::string want = task_.platform.value_or(task_.rosetta ? "linux/amd64" : own);
    same("platform", want, made);
    same("rosetta", task_.rosetta || want == "linux/amd64", get_bool(made_, "rosetta"));
    same("ssh_agent", task_.ssh_agent, get_bool(made_, "ssh"));
    same("virtualization", task_.virtualization, get_bool(made_, "virtualization"));
    same("kernel", task_.kernel ? real(*task_.kernel) : std::string{},
         get_string(settings_, "kernel"));
    same("init_image", task_.init_image.value_or(""), get_string(settings_, "init-image"));
    same("rm", false, get_bool(settings_, "rm"));
    std::set<std::string> sockets;
    for (const Volume& socket : task_.publish_sockets) {
      const std::size_t slash = socket.source.rfind('/');
      sockets.insert(real(socket.source.substr(0, slash)) + socket.source.substr(slash) + ":" +
                     socket.target);
    }
    std::set<std::string> published;
    for (const Value& socket : made_["publishedSockets"].GetArray()) {
      published.insert(get_string(socket, "hostPath") + ":" + get_string(socket, "containerPath"));
    }
    same("publish_sockets", sockets, published);
  }

  const runtime::AppleRequest& request_;
  const TaskSpec& spec_;
  const TaskConfig& task_;
  const Value& made_;
  const Value& process_;
  const Value& settings_;
  std::string wrong_;
};

}  // namespace

std::string wrong_effects(const runtime::AppleRequest& request, std::string_view verdict) {
  const auto effect = standin::parse_json(std::string{verdict});
  if (!effect || !effect->HasMember("record")) return "the stand-in made no record\n";
  return Comparison{request, (*effect)["record"]}.run();
}

}  // namespace ndc::test
