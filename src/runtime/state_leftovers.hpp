// Finds what a plugin that died left in the state directory: the files of a task whose container
// has gone already. Each directory says whose it is, as a container's labels do, so that agents
// which share a state directory, but not their engine's storage, leave each other's alone.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

// Whose a task's directory is, as text: those of `labels` that say so (model/labels.hpp).
std::string owner_text(const std::map<std::string, std::string>& labels);
// Lines of label=value; without the last one where that was cut off.
std::map<std::string, std::string> parse_owner(std::string_view text);

// Writes into a task's directory whose it is. The error is kInternal.
Expected<void> write_owner(const std::string& directory,
                           const std::map<std::string, std::string>& labels);

// The task id that write_owner() left there; empty if none.
std::string owner_task(const std::string& directory);

// Whether write_owner() was called there for an attempt of the same task of the same allocation.
bool is_of_task(const std::string& directory, std::string_view task_id);
// What is left there is as old as this call, not as the task's last start.
void renew_owner(const std::string& directory);

// Removes a task's directory with what is in it, and last what says whose it is: who is killed
// meanwhile leaves it as one that StateLeftovers finds. What cannot be removed stays, and is made
// anew or replaced by the next task of this name.
void remove_task_directory(const std::string& directory);

// Not thread-safe: loop thread only.
class StateLeftovers {
 public:
  explicit StateLeftovers(std::string state_dir) : state_dir_{std::move(state_dir)} {}

  // This plugin has to do with the container of that name: its files are no leftovers.
  void claim(const std::string& name) { claimed_.insert(name); }
  // It has not any more.
  void disclaim(const std::string& name) { claimed_.erase(name); }
  bool claimed(const std::string& name) const { return claimed_.contains(name); }

  // Directories that have neither a container, of these names, nor a claim, with the age of the
  // task's last start, or of renew_owner(). One that does not say whose it is, as a removal that
  // was cut off may leave it, comes without labels and with the time of its last change: only where
  // it is named as containers are and private, has nothing but files and none of them is locked.
  std::vector<FoundContainer> look(const std::set<std::string>& containers) const;

 private:
  std::string state_dir_;
  std::set<std::string> claimed_;
};

}  // namespace ndc::runtime
