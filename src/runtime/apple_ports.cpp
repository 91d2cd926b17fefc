#include "runtime/apple_ports.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "runtime/apple_version.hpp"

namespace ndc::runtime {
namespace {

using Kind = NetworkMode::Kind;

constexpr std::size_t kMaxEntries = 64;

Error refused(const std::string& label, std::string cause, std::string hint) {
  return {ErrorCode::kInvalidConfig, "publish port", label, std::move(cause), std::move(hint)};
}

struct Mapping {
  std::string address;
  int task_port = 0;
  std::string label;
};

std::string known_labels(const TaskSpec& spec, const std::string& label) {
  std::string known;
  for (const PortMapping& port : spec.ports) {
    known += (known.empty() ? "" : ", ") + quoted(port.label);
  }
  return known.empty() ? "it has none at all: add port \"" + label + "\" {}"
                       : "known labels: " + known;
}

class Ports {
 public:
  explicit Ports(const VersionNumber& version) : version_{version} {}

  void add(const PortMapping& port, int task_port) {
    for (const int number : {port.host_port, task_port}) {
      if (number < 2 || number > 65535) {
        errors_.push_back(refused(
            port.label, apple_name(version_) + " publishes no port " + std::to_string(number),
            "use one from 2 to 65535"));
        return;
      }
    }
    if (port.host_port == 65535 && traps_on_last_port(version_)) {
      errors_.push_back(refused(port.label,
                                apple_name(version_) + " crashes on port 65535 of the host",
                                "use another port, or update it to 1.0 or newer"));
      return;
    }
    const auto [found, is_new] =
        mappings_.emplace(port.host_port, Mapping{port.host_ip, task_port, port.label});
    const Mapping& first = found->second;
    if (is_new || (first.task_port == task_port && first.address == port.host_ip)) return;
    errors_.push_back(refused(port.label,
                              "port " + std::to_string(port.host_port) +
                                  " of the host is published for " + quoted(first.label) +
                                  " already, and " + apple_name(version_) +
                                  " does not tell addresses apart",
                              "give one of them another port"));
  }

  Expected<std::vector<std::string>> take(const std::string& task) {
    std::vector<std::string> out;
    for (const auto& [host_port, mapping] : mappings_) {
      const bool v6 = mapping.address.find(':') != std::string::npos;
      const std::string address = v6 ? "[" + mapping.address + "]" : mapping.address;
      const std::string value = (address.empty() ? "" : address + ":") + std::to_string(host_port) +
                                ":" + std::to_string(mapping.task_port);
      out.push_back(value + "/tcp");
      out.push_back(value + "/udp");
    }
    if (out.size() > kMaxEntries) {
      errors_.push_back(refused(task,
                                std::to_string(mappings_.size()) +
                                    " ports are more than the 32 "
                                    "that the driver can publish with " +
                                    apple_name(version_) + ", over TCP and UDP each",
                                "publish fewer"));
    }
    if (!errors_.empty()) return fail(combine("publish ports of task", task, errors_));
    return out;
  }

  void refuse(Error error) { errors_.push_back(std::move(error)); }

 private:
  VersionNumber version_;
  std::map<int, Mapping> mappings_;  // by port of the host
  std::vector<Error> errors_;
};

}  // namespace

Expected<std::vector<std::string>> apple_ports(const TaskSpec& spec, const TaskConfig& config,
                                               const VersionNumber& version) {
  Ports ports{version};
  const bool all = config.network_mode.kind == Kind::kHost;
  if (all) {
    for (const PortMapping& port : spec.ports) ports.add(port, port.host_port);
  }
  for (const std::string& label : config.ports) {
    bool found = false;
    for (const PortMapping& port : spec.ports) {
      if (port.label != label) continue;
      found = true;
      if (!all) ports.add(port, port.task_port);
    }
    if (found) continue;
    ports.refuse(refused(label, "the group's network block has no port of this label",
                         known_labels(spec, label)));
  }
  return ports.take(spec.name);
}

}  // namespace ndc::runtime
