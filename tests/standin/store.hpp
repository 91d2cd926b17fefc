// The state directory: what Apple's daemon knows, as files. README.md lists them.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "standin/files.hpp"
#include "standin/json.hpp"

namespace standin {

struct ContainerState {
  bool running = false;   // as the daemon sees it
  bool orphaned = false;  // its VM lives on, but the daemon crashed and does not know it
  pid_t workload = 0;     // of a running or an orphaned one
  pid_t helper = 0;
  std::optional<double> started;  // Unix time; forgotten when the daemon crashes
};

class Store {
 public:
  explicit Store(std::string root);

  std::string path(const std::string& name) const { return root_ + "/" + name; }
  std::string container_path(const std::string& id) const { return path("containers/" + id); }
  Fd lock(const std::string& name) const { return lock_file(path(name)); }

  std::vector<std::string> container_ids() const { return list_directory(path("containers")); }
  std::optional<Json> record(const std::string& id) const;
  bool exists(const std::string& id) const;
  /// False if the ID is taken.
  bool add_container(const std::string& id, const Json& record) const;
  void remove_container(const std::string& id) const;
  ContainerState state(const std::string& id) const;

  /// How often the daemon crashed: a container that was started under another number is not known
  /// to be running.
  long epoch() const;
  void next_epoch() const;

  /// Sends one line to the container's helper; invalid if that is gone.
  Fd begin_ask(const std::string& id, const std::string& line) const;
  /// The same, and waits until the helper has obeyed. False if it is gone.
  bool ask(const std::string& id, const std::string& line) const;
  static bool await_answer(const Fd& asked);

 private:
  std::string root_;
};

/// The container's own file, written by its helper: "running WORKLOAD HELPER EPOCH STARTED".
constexpr const char* kStateFile = "state";
/// Locked by the helper as long as it lives.
constexpr const char* kAliveFile = "alive";
constexpr const char* kSocketFile = "sock";
constexpr const char* kLogFile = "log";

}  // namespace standin
