// What podman prints with `--format json`. Pure; untrusted: bounded in size and depth, every field
// checked for its type.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "model/task_exit.hpp"

namespace ndc::runtime {

struct PodmanContainer {
  std::string id;
  std::string name;
  std::string status;  // "created", "running", "exited" …
  bool running = false;
  int exit_code = -1;  // -1: not recorded
  bool oom_killed = false;
  pid_t pid = 0;
  pid_t conmon_pid = 0;
  std::string log_path;
  std::optional<WallTime> started_at;
  std::optional<WallTime> finished_at;
  std::map<std::string, std::string> labels;
  bool has_run() const { return started_at.has_value(); }
};

struct PodmanImage {
  std::string id;
  std::string os;            // "linux"
  std::string architecture;  // "amd64"
  std::string variant;       // "v8"; may be empty
  std::optional<std::string> stop_signal;
  std::string digest;  // "sha256:…"; may be empty
};

// `podman container inspect`: exactly one container. kRuntimeUnavailable for anything else.
Expected<PodmanContainer> parse_container(std::string_view json);
// `podman image inspect`.
Expected<PodmanImage> parse_image(std::string_view json);

struct PodmanListed {
  std::string id;
  std::string name;
  bool running = false;
  bool only_stored = false;  // podman's storage has it, podman itself does not know it
  std::optional<WallTime> created_at;
  std::map<std::string, std::string> labels;
};
// `podman ps --format json`; an entry without an id or a name is left out.
Expected<std::vector<PodmanListed>> parse_list(std::string_view json);

struct PodmanInfo {
  std::string version;
  std::string oci_runtime;  // "crun", "runc"; may be empty
  // The file that changes with every name and every image; empty where there is more than one, or
  // podman does not tell.
  std::string images_file;
};
// `podman info --format json`.
Expected<PodmanInfo> parse_info(std::string_view json);

// RFC 3339 with a fraction and "Z" or an offset; nullopt for Go's zero time and for nonsense.
std::optional<WallTime> parse_rfc3339(std::string_view text);

// "linux/amd64", "linux/arm64/v8": is this image for it? Without a variant any will do.
bool is_for_platform(const PodmanImage& image, std::string_view platform);

}  // namespace ndc::runtime
