// What a task's configuration has to come to in the engine: compared with the record that the
// stand-in makes of an argv. Written from the meaning of each setting, not from the driver's code.
#pragma once

#include <string>
#include <string_view>

#include "runtime/apple_argv.hpp"

namespace ndc::test {

// One line for each setting that had another effect than the task asks for; empty if all is right.
// `verdict` is what standin::check() says of the argv.
std::string wrong_effects(const runtime::AppleRequest& request, std::string_view verdict);

}  // namespace ndc::test
