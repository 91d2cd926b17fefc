// What Apple's CLI answers, in both of its JSON families (0.x and 1.x), told apart by their shape.
// Untrusted and bounded; every key but a container's id may be missing, unknown ones are passed
// over. Errors are kRuntimeUnavailable.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "model/task_exit.hpp"

namespace ndc::runtime {

struct AppleAddress {
  std::string network;
  std::string address;    // without the prefix length
  std::string host_name;  // the id, or "<id>.<domain>" where the node has a domain
};

struct AppleContainer {
  std::string id;
  std::string state;                // "running", "stopped", …
  std::string image;                // reference, normalised
  std::optional<WallTime> created;  // from 1.0 on
  std::optional<WallTime> started;
  std::map<std::string, std::string> labels;  // decoded
  std::vector<AppleAddress> addresses;
  std::vector<std::string> networks;  // asked for
  bool running() const { return state == "running"; }
  // Also where the engine does not say when.
  bool was_started() const { return started || running() || state == "stopping"; }
};

struct AppleNetwork {
  std::string name;
  std::map<std::string, std::string> labels;
  std::optional<WallTime> created;
};

struct AppleVariant {
  std::string os;
  std::string architecture;
  std::string variant;
  std::optional<std::string> stop_signal;
};

struct AppleImage {
  std::string name;
  std::string digest;
  std::vector<AppleVariant> variants;
};

struct AppleUsage {
  std::optional<std::uint64_t> cpu_usec;  // since the start
  std::optional<std::uint64_t> memory_bytes;
  std::optional<std::uint64_t> block_read_bytes;
  std::optional<std::uint64_t> block_write_bytes;
  std::optional<std::uint64_t> network_rx_bytes;
  std::optional<std::uint64_t> network_tx_bytes;
  std::optional<std::uint64_t> processes;
};

struct AppleVersions {
  std::string cli;     // "1.2.2"
  std::string daemon;  // the same; empty while it is down
};

// One container without an id is an error of the whole: left out, it would be one that is no more.
Expected<std::vector<AppleContainer>> parse_apple_containers(std::string_view json);
Expected<std::vector<AppleNetwork>> parse_apple_networks(std::string_view json);
Expected<std::vector<AppleImage>> parse_apple_images(std::string_view json);
Expected<std::map<std::string, AppleUsage>> parse_apple_stats(std::string_view json);
Expected<AppleVersions> parse_apple_versions(std::string_view json);
// "running", "not running", "unregistered".
Expected<std::string> parse_apple_status(std::string_view json);
// Logins by host, as the CLI stores them.
struct AppleLogin {
  std::string user;
  std::optional<WallTime> modified;
  bool operator==(const AppleLogin&) const = default;
};
Expected<std::map<std::string, AppleLogin>> parse_apple_logins(std::string_view json);

// The version in "container CLI version 1.2.2 (build: …)" and its like; empty if there is none.
std::string apple_version_in(std::string_view text);

// The variant for "linux/arm64" or "linux/arm64/v8"; null if there is none.
const AppleVariant* variant_for(const AppleImage& image, std::string_view platform);

}  // namespace ndc::runtime
