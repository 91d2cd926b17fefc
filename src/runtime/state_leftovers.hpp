// Finds what a plugin that died left in the state directory: the files of a task whose container
// has gone already, which nobody will ask about again.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ndc::runtime {

// Not thread-safe: loop thread only.
class StateLeftovers {
 public:
  explicit StateLeftovers(std::string state_dir) : state_dir_{std::move(state_dir)} {}

  // This plugin has to do with the container of that name: its files are no leftovers.
  void claim(const std::string& name) { claimed_.insert(name); }
  // It has not any more: what is there of it is nobody's.
  void disclaim(const std::string& name) { claimed_.erase(name); }

  // The names of directories that had neither a container nor a claim, this time and the last time.
  // Twice, because the plugin of another agent on this host may just be making one.
  std::vector<std::string> look(const std::set<std::string>& containers);

 private:
  std::string state_dir_;
  std::set<std::string> claimed_;
  std::set<std::string> suspects_;
};

}  // namespace ndc::runtime
