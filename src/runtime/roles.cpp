#include "runtime/roles.hpp"

#include <atomic>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/monitor_process.hpp"
#ifndef NDC_PORTABLE
#include "runtime/mount_guard_linux.hpp"
#endif

namespace ndc::runtime {
namespace {

std::atomic<bool> served{false};

}  // namespace

std::optional<int> run_role(int argc, char** argv) {
  served = true;
  if (argc < 2) return std::nullopt;
  const std::string_view role = argv[1];
  if (role == kMonitorRole) return monitor_main(argc - 2, argv + 2);
#ifndef NDC_PORTABLE
  if (role == kGuardRole) return guard_main(std::vector<std::string>(argv + 2, argv + argc));
#endif
  return std::nullopt;
}

Expected<void> need_role(std::string what, std::string on, const std::string& role) {
  if (served) return {};
  return fail({.code = ErrorCode::kUnsupported,
               .what = std::move(what),
               .on = std::move(on),
               .cause = "it runs this program again in the role " + quoted(role) +
                        ", which this program does not have",
               .hint = "call ndc::runtime::run_role first in main and return what it returns"});
}

}  // namespace ndc::runtime
