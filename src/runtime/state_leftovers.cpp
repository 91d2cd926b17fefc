#include "runtime/state_leftovers.hpp"

#include <filesystem>
#include <system_error>
#include <utility>

#include "runtime/state_directory.hpp"

namespace ndc::runtime {

std::vector<std::string> StateLeftovers::look(const std::set<std::string>& containers) {
  std::vector<std::string> found;
  std::set<std::string> suspects;
  std::error_code ignored;  // without a state directory there is nothing in it
  for (const auto& entry : std::filesystem::directory_iterator{state_dir_, ignored}) {
    const std::string name = entry.path().filename();
    std::error_code unknown;
    const bool directory = !entry.is_symlink(unknown) && entry.is_directory(unknown);
    if (!directory || !is_state_name(name)) continue;
    if (claimed_.contains(name) || containers.contains(name)) continue;
    if (suspects_.contains(name)) {
      found.push_back(name);
    } else {
      suspects.insert(name);
    }
  }
  suspects_ = std::move(suspects);
  return found;
}

}  // namespace ndc::runtime
