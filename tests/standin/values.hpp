// The little languages inside of option values: memory, ports, mounts, labels… Each function throws
// CliError(1) with the words of the imitated CLI for what that rejects at run time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "standin/version.hpp"

namespace standin {

using Pair = std::pair<std::string, std::string>;

void check_container_id(Version version, const std::string& id);

uint64_t parse_memory(const std::string& text);  // bytes, whole MiB
/// What the daemon enforces at creation.
void check_memory_minimum(Version version, uint64_t bytes);

/// Sorted by key; of duplicates the last one wins.
std::vector<Pair> parse_labels(const std::vector<std::string>& labels);
/// Labels of networks and volumes have stricter keys.
void check_resource_label(const Pair& label);

struct Rlimit {
  std::string limit;  // RLIMIT_NOFILE
  uint64_t soft = 0;
  uint64_t hard = 0;
};
std::vector<Rlimit> parse_ulimits(const std::vector<std::string>& ulimits);

struct Port {
  std::string host_address;
  unsigned host_port = 0;
  unsigned container_port = 0;
  std::string protocol;
  unsigned count = 1;
};
/// ≤ 0.12.3 dies of SIGTRAP at host port 65535: CliError(133).
std::vector<Port> parse_ports(Version version, const std::vector<std::string>& publishes);

struct Mount {
  enum class Kind { bind, volume, tmpfs };
  Kind kind = Kind::bind;
  std::string source;  // a path, or the name of a volume; an anonymous one has none
  std::string destination;
  std::vector<std::string> options;
};
/// `host` says whether the paths of this machine are looked at.
Mount parse_volume(const std::string& text, bool host);
Mount parse_mount(const std::string& text, bool host);

struct Attachment {
  std::string network;
  std::string mac;
  unsigned mtu = 1280;
};
std::vector<Attachment> parse_networks(const std::vector<std::string>& networks);

struct PublishedSocket {
  std::string host;
  std::string container;
};
std::vector<PublishedSocket> parse_sockets(const std::vector<std::string>& sockets);

struct Platform {
  std::string os = "linux";
  std::string architecture = "arm64";
  std::string variant;
};
Platform parse_platform(const std::string& text);
std::string normal_architecture(const std::string& name);

/// CAP_NET_ADMIN, or ALL.
std::string parse_capability(const std::string& name);

/// K=V as is, K alone from this process' environment, or nothing if it is not set there.
std::optional<std::string> inherit_env(const std::string& entry);
std::vector<std::string> read_env_file(const std::string& path);
/// Of entries with the same name the last one wins.
std::vector<std::string> merge_env(const std::vector<std::string>& entries);

/// docker.io/library/alpine:latest for alpine.
std::string normal_reference(const std::string& reference);

/// The number that reaches the container, whatever this machine's numbers are (Linux).
int parse_signal(Version version, const std::string& name);

bool is_volume_name(const std::string& name);
bool is_network_name(const std::string& name);

}  // namespace standin
