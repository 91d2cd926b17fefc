// Where this program's executable is, for roles that run as processes of their own.
#pragma once

#include <string>

namespace ndc::runtime {

// Empty where the system does not tell. Usable also when the file was replaced meanwhile, where the
// system allows it.
std::string own_program();

}  // namespace ndc::runtime
