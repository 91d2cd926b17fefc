// How far a log was delivered, as "<log_path>.delivered" keeps it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ndc::runtime {

struct LogPosition {
  std::uint64_t inode = 0;   // of the log
  std::uint64_t offset = 0;  // of a record in it
  std::uint64_t skip = 0;    // bytes of that record's text that were delivered
  bool operator==(const LogPosition&) const = default;
};

// Of one length whatever it says: it is written over the one before.
std::string log_position_text(const LogPosition& position);

// nullopt for what is cut off or no position. What follows its line is passed over.
std::optional<LogPosition> parse_log_position(std::string_view text);

}  // namespace ndc::runtime
