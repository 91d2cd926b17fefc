// Readers of the task settings about names, addresses and networks.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.hpp"
#include "model/task_config.hpp"
#include "model/value.hpp"

namespace ndc {

bool is_ip_address(std::string_view text);

Expected<NetworkMode> read_network_mode(std::string_view key, const Value& value);
// At most 64 bytes: what the kernel takes.
Expected<std::optional<std::string>> read_hostname(std::string_view key, const Value& value);
Expected<std::vector<std::string>> read_name_servers(std::string_view key, const Value& value);
// Search domains and options of a resolv.conf: one word each.
Expected<std::vector<std::string>> read_resolver_words(std::string_view key, const Value& value);
// "name:address"; an IPv6 address may be in brackets.
Expected<std::vector<ExtraHost>> read_extra_hosts(std::string_view key, const Value& value);
Expected<std::optional<std::string>> read_mac_address(std::string_view key, const Value& value);

}  // namespace ndc
