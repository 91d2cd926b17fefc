#include "runtime/own_program.hpp"

#include <unistd.h>

#include <array>
#include <cstdint>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

namespace ndc::runtime {

std::string own_program() {
  std::array<char, 4096> path{};
#ifdef __APPLE__
  std::uint32_t size = path.size();
  return _NSGetExecutablePath(path.data(), &size) == 0 ? std::string{path.data()} : std::string{};
#else
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (size <= 0) return {};
  std::string out{path.data(), static_cast<std::size_t>(size)};
  // An update has taken its place: the running one is still reached through the link.
  if (::access(out.c_str(), X_OK) != 0) return "/proc/self/exe";
  return out;
#endif
}

}  // namespace ndc::runtime
