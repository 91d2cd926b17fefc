// A container's record as `inspect` and `list` of a version show it.
#pragma once

#include "standin/json.hpp"
#include "standin/store.hpp"
#include "standin/version.hpp"

namespace standin {

/// A date as this version writes it: seconds since 2001, or an ISO string.
Value date(Version version, double unix_time, Alloc& alloc);

Value view_container(Version version, const Store& store, const Json& record, Alloc& alloc);

Keys keys_of(Version version);

/// IPv4 of a container in a network: the same as long as the container exists.
std::string address_of(const Store& store, const std::string& network, const std::string& id);

}  // namespace standin
