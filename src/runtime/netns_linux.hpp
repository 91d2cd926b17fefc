// What a network namespace that somebody else made looks like from inside.
#pragma once

#include <string>

namespace ndc::runtime {

// The first IPv4 address, else the first global IPv6 one, that is no loopback address in the
// namespace of this file ("/var/run/netns/…"). Empty where there is none or it cannot be entered.
std::string namespace_address(const std::string& path);

}  // namespace ndc::runtime
