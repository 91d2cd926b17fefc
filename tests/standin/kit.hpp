// For the stand-in's own tests: a state directory per test, calls and background calls with
// deadlines, shapes of JSON.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "standin/files.hpp"
#include "standin/json.hpp"
#include "standin/version.hpp"

namespace standin::kit {

using Words = std::vector<std::string>;
using Env = std::map<std::string, std::string>;

constexpr Version kVersions[] = {Version::v0_11_0, Version::v0_12_3, Version::v1_0_0,
                                 Version::v1_1_0, Version::v1_2_2};

struct Result {
  int code = -1;  // 128 + signal, negative if the deadline passed
  std::string out;
  std::string err;
};

/// A call that runs while the test goes on. Killed if it is still there at the end.
class Running {
 public:
  Running(pid_t pid, Fd in, Fd out, Fd err);
  Running(Running&& other) noexcept;
  ~Running();

  pid_t pid() const { return pid_; }
  Fd& in() { return in_; }
  Fd& out() { return out_; }
  /// Reads until stdout holds `text`; false past the deadline or at its end.
  bool await_output(const std::string& text);
  /// Until it ends; drains its output all the while.
  Result wait(int64_t deadline_ms = 20000);
  /// Until it ends without reading from it.
  Result wait_undrained(int64_t deadline_ms = 20000);
  /// Nothing once it has ended.
  void signal(int number) const;

 private:
  bool read_some(int64_t until);

  pid_t pid_;
  Fd in_;
  Fd out_;
  Fd err_;
  std::string text_;
  std::string errors_;
};

class Standin {
 public:
  explicit Standin(Version version);
  ~Standin();
  Standin(const Standin&) = delete;
  Standin& operator=(const Standin&) = delete;

  void set(const std::string& name, const std::string& value) { env_[name] = value; }
  Result run(const Words& words, const std::string& input = {}) const;
  Running start(const Words& words) const;
  /// The call must succeed and print JSON.
  Json json(const Words& words) const;

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string read(const std::string& name) const { return read_file(path(name)).value_or(""); }
  void fault(const std::string& name, const std::string& text) const;
  void no_fault(const std::string& name) const;
  /// Of containers/ID/state: 1 the workload, 2 the helper.
  pid_t pid_of(const std::string& id, int field = 1) const;
  Version version() const { return version_; }

 private:
  Running spawn(const Words& words) const;

  Version version_;
  std::string directory_;
  Env env_;
};

bool eventually(const std::function<bool()>& condition);
bool is_alive(pid_t pid);

/// "/0/configuration/labels object" for each path and type; list items are all called '*'.
std::set<std::string> shape_of(const Value& value);
/// Of the recorded output of that name.
std::set<std::string> recorded_shape(const std::string& name);

}  // namespace standin::kit
