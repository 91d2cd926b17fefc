// Networks in the state directory: names, subnets and who has which address.
#pragma once

#include <optional>
#include <string>

#include "standin/json.hpp"
#include "standin/store.hpp"

namespace standin {

struct Subnet {
  std::string prefix;  // "192.168.64": all are /24 here
};

/// The built-in one always exists.
bool network_exists(const Store& store, const std::string& name);
Subnet subnet_of(const Store& store, const std::string& name);

/// A number from 2 on; given out at the first question, kept while the container exists.
int lease_address(const Store& store, const std::string& network, const std::string& id);
/// `directory` is leases/NETWORK in the state directory.
void release_address(const std::string& directory, const std::string& number);
/// All that the container has.
void release_addresses(const Store& store, const std::string& id);

}  // namespace standin
