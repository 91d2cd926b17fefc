// Names for containers that a person recognises and that two tasks of one allocation never share.
#pragma once

#include <string>
#include <string_view>

namespace ndc {

// "nomad-<task>-<first 8 of the alloc id>", at most 63 characters of [a-zA-Z0-9_.-]. Where the
// task's name has to be changed or shortened, eight hex digits of its hash keep it unique.
std::string container_name(std::string_view task, std::string_view alloc_id);

// Whether container_name() may have made it.
bool may_be_container_name(std::string_view name);

}  // namespace ndc
