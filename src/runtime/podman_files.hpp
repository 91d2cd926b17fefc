// The files that belong to one container: `<state_dir>/<container name>/`, only for our own user.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "model/error.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

class PodmanFiles {
 public:
  PodmanFiles(const std::string& state_dir, std::string container_name);

  // Makes the directory of a container with these labels, 0700, with what is above it, and takes an
  // earlier call's ids out of it. Refuses a state directory that is not ours or that others can
  // write to. A console log stays: it may be that of a container which is about to be adopted. The
  // error is kInternal.
  Expected<void> make(const std::map<std::string, std::string>& labels) const;
  // Takes away what an attempt to start left there that would hinder the next one.
  Expected<void> forget_attempt() const;
  // As podman writes it when it makes the container.
  Expected<void> keep_id(const std::string& id) const;
  // Everything of this container; nothing where the name is no container name.
  void remove() const;

  const std::string& directory() const { return directory_; }
  std::string id_file() const { return directory_ + "/id"; }
  std::string pid_file() const { return directory_ + "/pid"; }
  std::string conmon_pid_file() const { return directory_ + "/conmon.pid"; }
  // conmon's note that the kernel killed a process for want of memory; empty where there was none.
  std::string oom_file() const { return directory_ + "/oom"; }
  bool oom_noted() const;
  std::string log_file() const { return directory_ + "/console.log"; }

  // A standard input that neither has anything nor ever ends: whoever reads it holds its other end
  // too. Nobody finds it by a name. The error is kInternal.
  Expected<std::shared_ptr<UniqueFd>> endless_input() const;

  // What podman wrote; nullopt while it has not.
  std::optional<std::string> id() const;
  pid_t pid() const;         // 0: not written
  pid_t conmon_pid() const;  // 0: not written

 private:
  std::string state_dir_;
  std::string name_;
  std::string directory_;
};

// 64 lower-case hex digits: what podman calls containers. Handles come from disk, so an id is
// checked before it becomes an argument.
bool is_container_id(std::string_view id);

// The first word of what podman prints, or podman and conmon write into a file of its own: an id,
// empty where that is none, and a process id, 0 where it is none.
std::string parse_container_id(std::string_view text);
pid_t parse_process_id(std::string_view text);

}  // namespace ndc::runtime
