// The `auth { … }` block, which plugin and task share.
#pragma once

#include <optional>
#include <string_view>

#include "model/error.hpp"
#include "model/registry_auth.hpp"
#include "model/settings.hpp"
#include "model/value.hpp"

namespace ndc {

const Schema& auth_schema();

// Nothing for a block in which all is empty. Error texts never hold the password.
Expected<std::optional<RegistryAuth>> read_auth(std::string_view key, const Value& value);

}  // namespace ndc
