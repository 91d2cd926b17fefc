// Removal of a container: `delete --force`, as often as it takes.
#pragma once

#include <memory>
#include <string>

#include "runtime/apple_cli.hpp"
#include "runtime/container_runtime.hpp"

namespace ndc::runtime {

struct AppleRemoval {
  std::string what;  // for errors: "remove container"
  std::string id;
  std::string directory;  // of the container's files
  AppleCli::Kind kind = AppleCli::Kind::kVital;
};

// OK where the container is gone already. Contract 6.3: while the daemon cleans up after an exit it
// refuses for a moment, so it is asked more than once. A call knows the container by its name and
// goes on when this plugin is killed: it holds the lock of the container's files (call_lock.hpp).
// Loop thread only.
void remove_apple_container(std::shared_ptr<AppleCli> cli, AppleRemoval removal, Done<void> done);

}  // namespace ndc::runtime
