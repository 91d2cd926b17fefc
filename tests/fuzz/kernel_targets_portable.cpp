// The kernel's texts are Linux's.

#include "targets.hpp"

namespace ndc::fuzz {

std::vector<Target> linux_targets() { return {}; }

}  // namespace ndc::fuzz
