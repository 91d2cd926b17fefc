// What is kept of a login that the driver made at a registry, from before it is made until it is
// gone: a plugin that is killed between leaves it, and the next one knows it by that. Files in the
// state directory; never a password.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/error.hpp"
#include "model/task_exit.hpp"

namespace ndc::runtime {

struct LoginMark {
  std::string host;
  std::string user;
  WallTime until{};  // not made, or made anew, later than that
  bool operator==(const LoginMark&) const = default;
};

// The user comes last, after its length: a name that was cut off is not taken for another one.
std::string login_mark_text(const LoginMark& mark);
// Of this version or the first, which had no length. nullopt for what is cut off, damaged or newer.
std::optional<LoginMark> parse_login_mark(std::string_view text);

class LoginMarks {
 public:
  explicit LoginMarks(std::string state_dir) : directory_{std::move(state_dir)} {}

  // In place of an earlier one of this host. The error is kInternal.
  Expected<void> write(const LoginMark& mark) const;
  // Whether there is one, readable or not.
  bool exists(const std::string& host) const;
  // Nothing where there is none, or none that could be made out.
  std::optional<LoginMark> read(const std::string& host) const;
  // False where it cannot be told what it says, for want of a descriptor.
  bool readable(const std::string& host) const;
  void remove(const std::string& host) const;
  // The hosts of all that can be made out; the others prove nothing and are removed, with a
  // warning.
  std::vector<std::string> hosts() const;

 private:
  std::string path_of(const std::string& host) const;

  std::string directory_;
};

}  // namespace ndc::runtime
