// The releases of Apple's `container` CLI that the stand-in imitates, and the error that ends a
// call. Errors are thrown: the CLI that is imitated does the same, and one place prints them.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace standin {

enum class Version { v0_11_0, v0_12_3, v1_0_0, v1_1_0, v1_2_2 };

constexpr Version kOldest = Version::v0_11_0;
constexpr Version kNewest = Version::v1_2_2;

std::optional<Version> parse_version(std::string_view text);
std::string_view to_string(Version version);

/// 0.x writes the old JSON family, 1.x the new one.
constexpr bool is_old(Version version) { return version < Version::v1_0_0; }

/// Ends the call with `code`. 64 is an argv error (usage follows), 1 an error at run time, 0 an
/// answer that is complete (--help).
class CliError : public std::runtime_error {
 public:
  CliError(int code, const std::string& text) : std::runtime_error(text), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

[[noreturn]] inline void usage_error(const std::string& text) { throw CliError(64, text); }
[[noreturn]] inline void fail(const std::string& text) { throw CliError(1, text); }

}  // namespace standin
