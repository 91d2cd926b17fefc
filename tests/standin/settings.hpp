// The knobs of the stand-in: NDC_STANDIN_* from the environment, else from a file `standin.env`
// beside the executable (callers may start it with an environment of their own making).
#pragma once

#include <cstdint>
#include <string>

namespace standin {

/// Call once, with main's argv[0].
void load_settings(const char* argv0);

/// `name` without NDC_STANDIN_.
std::string setting(const std::string& name, const std::string& otherwise = {});
int64_t setting_ms(const std::string& name, int64_t otherwise);

}  // namespace standin
