// The plugin's own log, in the form that Nomad's client understands: one JSON object per line on
// stderr. Everything logged through spdlog goes there; levels are filtered by the client.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <spdlog/common.h>

namespace ndc::rpc {

// Longer messages are cut, with a note, so that no line reaches the client's limit of 64 KiB.
inline constexpr std::size_t kMaxLogMessage = std::size_t{30} * 1024;

// One record as a line, newline included. `message` may hold any bytes.
std::string hclog_line(spdlog::level::level_enum level, std::string_view module,
                       std::string_view message, std::chrono::system_clock::time_point at);

// Makes spdlog's default logger write such lines to stderr, at every level.
void install_hclog();

}  // namespace ndc::rpc
