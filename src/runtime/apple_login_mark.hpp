// What is kept of a login that the driver made at a registry, from before it is made until it is
// gone: a plugin that is killed between leaves it, and the next one of this user knows it by that.
// Files beside the locks on logins, under which alone they are changed (apple_login_lock.hpp);
// never a password.
#pragma once

#include <optional>
#include <string>
#include <string_view>
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

// The file of a registry in a directory, by what it is for.
std::string login_file(const std::string& directory, const char* prefix, const std::string& host);

class LoginMarks {
 public:
  // `earlier`: a state directory, where versions before this one had them; nothing new comes there.
  explicit LoginMarks(std::string directory, const std::string& earlier = {});
  const std::string& directory() const { return directories_.front(); }

  // In place of an earlier one of this host. The error is kInternal.
  Expected<void> write(const LoginMark& mark) const;
  // Whether there is one, readable or not.
  bool exists(const std::string& host) const;
  // Nothing where there is none, or none that could be made out.
  std::optional<LoginMark> read(const std::string& host) const;
  // False where it cannot be told what it says, for want of a descriptor.
  bool readable(const std::string& host) const;
  void remove(const std::string& host) const;
  // Of one that cannot be made out: it proves nothing, and goes with a warning.
  void give_up(const std::string& host) const;
  // The hosts of all, by the file's name where nothing else can be made out.
  std::vector<std::string> hosts() const;

 private:
  std::vector<std::string> directories_;
};

}  // namespace ndc::runtime
