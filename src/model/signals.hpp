// Signal names, as jobs and users write them.
#pragma once

#include <string>
#include <string_view>

#include "model/error.hpp"

namespace ndc {

// The Linux x86-64/arm64 number of a signal, because the workload runs on Linux whatever the host.
// Upper or lower case; the SIG prefix is required, as in Nomad's own drivers ("USR1" is refused).
// Unknown names are kInvalidConfig with the list of valid ones.
Expected<int> signal_number(std::string_view name);

// The same of an image's STOPSIGNAL, which whoever built it wrote: the prefix may be missing, and
// it may be a number, or count from a real-time signal ("RTMIN+3", 37). kInvalidConfig where it is
// none.
Expected<int> image_signal_number(std::string_view text);

// "SIGKILL" for 9; "signal 99" for a number without a name.
std::string signal_name(int number);

inline constexpr int kLastSignal = 64;  // the first is 1
inline constexpr int kSigTerm = 15;
inline constexpr int kSigKill = 9;

}  // namespace ndc
