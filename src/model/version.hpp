// The version of this program, from the build.
#pragma once

#include <string_view>

namespace ndc {

#ifndef NDC_VERSION
#define NDC_VERSION "0.1.0"
#endif

inline constexpr std::string_view kVersion = NDC_VERSION;

}  // namespace ndc
