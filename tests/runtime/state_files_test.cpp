// Each kind of file that the driver or a monitor reads back, in each condition that a crash, a
// power cut, another version or another user may leave it in. What is read is what was written, or
// an error, or what the row says: never another exit, and nothing is lost without a word.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/apple_files.hpp"
#include "runtime/apple_login_mark.hpp"
#include "runtime/kept_references.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/state_kinds.hpp"
#include "runtime/unique_fd.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;

namespace fs = std::filesystem;

namespace {

constexpr uid_t kNobody = 65534;

// Only root can. False where nobody did.
bool give_away(const std::string& path) {
  if (::geteuid() == 0 && ::chown(path.c_str(), kNobody, static_cast<gid_t>(-1)) == 0) return true;
  WARN("skipped: only root can make a file another user's");
  return false;
}

}  // namespace

// ---- the conditions
// ----------------------------------------------------------------------------

TEST_CASE("a file of the state directory is read back as it was written") {
  const State state;
  for (const Kind& kind : state.kinds) {
    CAPTURE(kind.name);
    put(kind.path, kind.whole);
    CHECK(kind.read() == Seen{kind.good});
  }
}

TEST_CASE("a file that was cut off, or is empty, is read as far as it is certain, or refused") {
  const State state;
  for (const Kind& kind : state.kinds) {
    for (std::size_t length = 0; length < kind.whole.size(); ++length) {
      CAPTURE(kind.name, length);
      put(kind.path, kind.whole.substr(0, length));
      const Seen seen = kind.read();
      CHECK((!seen || *seen == kind.good || kind.of_cut(*seen)));
    }
  }
}

TEST_CASE("a file with a byte that was never written there is refused, or harmless") {
  const State state;
  for (const Kind& kind : state.kinds) {
    for (std::size_t at = 0; at < kind.whole.size(); ++at) {
      for (const char byte : {'\0', '~', '\xFF'}) {
        CAPTURE(kind.name, at, static_cast<int>(byte));
        std::string damaged = kind.whole;
        damaged[at] = byte;
        put(kind.path, damaged);
        const Seen seen = kind.read();
        CHECK((!seen || *seen == kind.good || kind.of_damaged(*seen)));
      }
    }
  }
}

TEST_CASE("no damage to an exit record makes another exit of it") {
  const State state;
  const Kind& kind = state.kinds.front();
  for (std::size_t at = 0; at < kind.whole.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string damaged = kind.whole;
      damaged[at] = static_cast<char>(byte);
      const auto record = parse_exit_record(damaged);
      if (record && told(*record) != kind.good) FAIL_CHECK("byte " << at << " as " << byte);
    }
  }
  for (const char* const never :
       {"exited 256\nat 1\nstderr 0\n", "exited -1\nat 1\nstderr 0\n",
        "signalled 0\nat 1\nstderr 0\n", "signalled 128\nat 1\nstderr 0\n",
        "exited 99999999999\nat 1\nstderr 0\n", "exited 0\nat 9223372036854775807\nstderr 0\n",
        "exited 0\nat 1\nstderr 18446744073709551615\n", "exited  0\nat 1\nstderr 0\n"}) {
    CAPTURE(never);
    CHECK_FALSE(parse_exit_record(std::string{"exit-record 1\n"} + never));
  }
}

TEST_CASE("a file of an earlier version is read, one of a later version as far as it is known") {
  const State state;
  for (const Kind& kind : state.kinds) {
    for (const auto& [bytes, seen] : kind.others) {
      CAPTURE(kind.name, bytes);
      put(kind.path, bytes);
      CHECK(kind.read() == seen);
    }
  }
}

TEST_CASE("a file that belongs to another user is not believed") {
  const State state;
  for (const Kind& kind : state.kinds) {
    if (!kind.is_file) continue;
    CAPTURE(kind.name);
    put(kind.path, kind.whole);
    if (!give_away(kind.path)) return;
    CHECK(kind.read() == kind.of_another_user);
  }
}

TEST_CASE("neither a directory nor a link in a file's place is believed") {
  const State state;
  for (const Kind& kind : state.kinds) {
    if (!kind.is_file) continue;
    CAPTURE(kind.name);
    fs::remove(kind.path);
    REQUIRE(::mkdir(kind.path.c_str(), 0700) == 0);
    CHECK_FALSE(kind.read());
    fs::remove(kind.path);
    const std::string elsewhere = state.directory / "elsewhere";
    put(elsewhere, kind.whole);
    REQUIRE(::symlink(elsewhere.c_str(), kind.path.c_str()) == 0);
    CHECK_FALSE(kind.read());
    CHECK(contents(elsewhere) == kind.whole);
  }
}

TEST_CASE("what is left out of a damaged file, or given up, is said") {
  const State state;
  const auto damage = [&state](const std::string& name, const std::string& bytes) -> const Kind& {
    for (const Kind& kind : state.kinds) {
      if (kind.name != name) continue;
      put(kind.path, bytes);
      return kind;
    }
    FAIL(name);
    return state.kinds.front();
  };
  CHECK(damage("delivered position", "0 0").read());
  CHECK(state.said.has("ctr.log.delivered is damaged"));
  CHECK(damage("image list", "busybox\nBAD NAME\nredi").read() == Seen{"busybox "});
  CHECK(state.said.has("BAD NAME"));
  CHECK(state.said.has("\"redi\""));
  const Kind& mark = damage("login mark", "login 3\n");
  const LoginMarks marks{state.path};
  CHECK(marks.hosts() == std::vector<std::string>{"registry.example"});
  marks.give_up("registry.example");
  CHECK(state.said.has("container registry logout"));
  CHECK_FALSE(fs::exists(mark.path));
}

// ---- whose it is
// -------------------------------------------------------------------------------

TEST_CASE("a lock that is held is a living monitor's, whatever is written in it") {
  const TemporaryDirectory directory;
  const std::string task = directory / "task";
  REQUIRE(::mkdir(task.c_str(), 0700) == 0);
  const std::string path = task + "/" + kMonitorLock;
  const UniqueFd lock{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  REQUIRE(lock);
  put(path, "42\n");
  CHECK(living_monitor(task) == 0);
  REQUIRE(::flock(lock.get(), LOCK_EX | LOCK_NB) == 0);
  CHECK(living_monitor(task) == 42);
  for (const char* const text : {"", "42", "x\n", "-42\n", "0\n", "99999999999\n"}) {
    CAPTURE(text);
    put(path, text);
    CHECK(living_monitor(task) < 0);
  }
}

TEST_CASE("a state directory that is another user's, a link, or open to others is refused") {
  const TemporaryDirectory directory;
  const std::string state = directory / "state";
  const auto refused = [&state](const std::string& why) {
    const auto kept = keep_references(state, {"busybox"});
    REQUIRE_FALSE(kept);
    CHECK(contains(kept.error().message(), why));
    CHECK_FALSE(LoginMarks{state}.write({"registry.example", "user", {}}));
    CHECK_FALSE(AppleFiles(state, "nomad-web-0a1b2c3d").make({}));
    CHECK_FALSE(PodmanFiles(state, "nomad-web-0a1b2c3d").make({}));
  };
  const std::string elsewhere = directory / "elsewhere";
  REQUIRE(::mkdir(elsewhere.c_str(), 0700) == 0);
  REQUIRE(::symlink(elsewhere.c_str(), state.c_str()) == 0);
  refused("it is no directory");
  CHECK(fs::is_empty(elsewhere));
  fs::remove(state);
  REQUIRE(::mkdir(state.c_str(), 0700) == 0);
  REQUIRE(::chmod(state.c_str(), 0770) == 0);
  refused("others can write to it");
  REQUIRE(::chmod(state.c_str(), 0700) == 0);
  CHECK(keep_references(state, {"busybox"}));
  if (give_away(state)) refused("it belongs to another user");
}
