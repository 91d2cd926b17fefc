// Label values in a form that every version of Apple's CLI keeps: it rejects a value with '=' and
// cuts one at the end.
#pragma once

#include <string>
#include <string_view>

namespace ndc::runtime {

// The value itself where it can stay, else "b64u." and its base64url without padding.
std::string encode_label(std::string_view value);

// The inverse. A value of ours that was damaged comes back as it is.
std::string decode_label(std::string_view value);

}  // namespace ndc::runtime
