// Sees to it that a container gets the very directories that the policy for volumes allowed. Paths
// are checked before podman is called, and mounted by the OCI runtime a while later: meanwhile
// another task could replace a part of one with a symbolic link. So the OCI runtime calls this
// program back when the mounts are there and before the workload runs, and it compares.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "runtime/podman_argv.hpp"

namespace ndc::runtime {

// The program's first argument where it is the hook.
inline constexpr const char* kGuardRole = "guard-mounts";

// Which part of which file system a path is, or a mount shows: fields 3 and 4 of mountinfo.
struct MountIdentity {
  std::string device;  // "8:1"
  std::string root;    // "/srv/data"
  auto operator<=>(const MountIdentity&) const = default;
};

// What `path`, a real one, is, by the mountinfo of a process that sees it; nullopt where that does
// not tell.
std::optional<MountIdentity> identity_of(std::string_view mountinfo, const std::string& path);

// Those of `wanted` for which there is no mount below `root`. One mount serves one of them only.
std::vector<MountIdentity> missing_mounts(std::string_view mountinfo, const std::string& root,
                                          std::vector<MountIdentity> wanted);

// Writes the OCI hook for the guarded ones of `mounts` into `directory`, and returns podman's
// global options for it; none where no mount is guarded. kInternal.
Expected<std::vector<std::string>> guard_mounts(const std::vector<ContainerMount>& mounts,
                                                const std::string& directory);

// What the OCI runtime tells a hook. Empty, and 0, where it does not, or tells no such thing.
struct HookState {
  std::string id;
  pid_t pid = 0;       // in whose mount namespace the container's mounts are
  std::string bundle;  // an absolute path
};
// nullopt for what is no JSON.
std::optional<HookState> parse_hook_state(std::string_view text);

// Where the container's root is by the bundle's config.json, an absolute path; empty where that is
// not told.
std::string parse_root(std::string_view config, const std::string& bundle);

// Whether the hook ended the start.
bool guard_refused(const std::string& directory);

// Whether it found this very container's mounts to be as they should. Not so either where the OCI
// runtime runs no hooks, or where what it ran did nothing.
bool guard_passed(const std::string& directory, const std::string& container_id);

// The hook itself: `DIRECTORY DEVICE ROOT…`, the container's state as JSON on stdin. Exit code 0 if
// all is well; anything else ends the start of the container.
int guard_main(const std::vector<std::string>& arguments);

}  // namespace ndc::runtime
