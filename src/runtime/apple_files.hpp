// The files that belong to one container on Apple's runtime: `<state_dir>/<container>/`, what its
// monitor writes there (monitor_files.hpp), and the monitor's socket.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "model/error.hpp"

namespace ndc::runtime {

class AppleFiles {
 public:
  // `state_dir` empty: the platform's default.
  AppleFiles(const std::string& state_dir, std::string container_name);

  // Makes both directories, 0700, for a container with these labels, and removes what an earlier
  // one of this name left, its exit record too, but for output of the same task that waits for the
  // log collector. The error is kInternal.
  Expected<void> make(const std::map<std::string, std::string>& labels) const;
  // Everything of this container; nothing where the name is no container name.
  void remove() const;
  // The same, but output that waits for the log collector stays for the task's next attempt, which
  // delivers it before its own; where none comes it is a leftover, as old as this call
  // (state_leftovers.hpp). How many bytes; 0: nothing is left.
  std::uint64_t remove_all_but_output() const;

  // Notes that the container which this start made, or may have made, could not be removed: until
  // the next make() or remove().
  void note_failed_start() const;
  // Whether there is such a note, and of that task's start.
  bool start_failed(const std::string& task_id) const;

  // A 0600 file for the environment, gone with remove_environment(). The error is kInternal.
  Expected<std::string> write_environment(const std::string& text) const;
  void remove_environment() const;

  const std::string& directory() const { return directory_; }
  // Short enough for a sockaddr on every platform.
  const std::string& socket() const { return socket_; }

  static std::string default_state_dir();

 private:
  std::string state_dir_;
  std::string name_;
  std::string directory_;
  std::string socket_;
};

}  // namespace ndc::runtime
