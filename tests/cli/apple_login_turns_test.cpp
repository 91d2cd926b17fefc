// Logins at registries where one user has several plugins, on one state directory or on more: whose
// turn it is, and what becomes of the login of one that dies.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "cli/apple_mac.hpp"
#include "runtime/apple_login_lock.hpp"
#include "runtime/unique_fd.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::test;

namespace {

// The other plugin pulls with credentials while this one does what a case is about.
struct SharedMac : Mac {
  OtherPlugin other;
  Pulling theirs;

  explicit SharedMac(bool same_state_dir = false)
      : other{*this, same_state_dir ? config.state_dir : directory / "elsewhere"} {}
  SharedMac(const SharedMac&) = delete;
  SharedMac& operator=(const SharedMac&) = delete;
  ~SharedMac() {
    for (const char* call : {"image-pull", "registry-list"}) fault(call, "");
  }

  // Until the call is let go.
  void they_wait_in(const std::string& call) {
    fault(call, "wait");
    begin_theirs();
    const std::string words = call == "image-pull" ? "image pull" : "registry list";
    REQUIRE(eventually([&] { return calls(words) > 0; }, kLong));
  }
  void let_go(const std::string& call) const { fault(call, ""); }
  // For as long as that plugin lives, and nobody else's pull does.
  void they_hang_in_their_pull() {
    fault("image-pull", "hang times 1");
    begin_theirs();
    wait_until_hung();
  }
  void begin_theirs() { theirs = begin_pull(other.runtime(), request_of(credentials())); }
  void wait_until_hung() const {
    const std::string file = directory / "cli/faults/image-pull";
    REQUIRE(eventually([&] { return !std::filesystem::exists(file); }, kLong));
    REQUIRE(contains(logins(), kHost));
  }
  // Whoever waits for the lock of a registry has that of who comes next.
  bool somebody_waits() const {
    return on_loop(*loop, [path = login_dir + "/next-" + kHost] {
      const UniqueFd file{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
      return file && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    });
  }
  Pulling begin_to_wait(PullRequest request) const {
    const Pulling ours = begin_pull(*runtime, std::move(request));
    REQUIRE(eventually([&] { return somebody_waits(); }, kLong));
    CHECK(!ours.is_set());
    return ours;
  }
};

// Null where it is not to be had at once.
LoginLocks::Lock take_now(EventLoop& loop, const std::string& directory, LoginUse use,
                          const std::string& host = kHost) {
  const auto taken = on_loop(loop, [&loop, directory, use, host] {
    std::optional<Expected<LoginLocks::Lock>> out;
    LoginLocks{loop, directory}.take(host, use, std::chrono::steady_clock::now(),
                                     [&out](Expected<LoginLocks::Lock> lock) { out = lock; });
    return out;
  });
  REQUIRE(taken);
  REQUIRE(*taken);
  return **taken;
}

}  // namespace

// ---- the lock
// ----------------------------------------------------------------------------

TEST_CASE("those who log in have a registry's lock alone, others have it together") {
  const LeakCheck leaks;
  EventLoop loop;
  const TemporaryDirectory directory;
  const std::string logins = directory / "user/logins";
  const auto take = [&](LoginUse use) { return take_now(loop, logins, use); };
  auto alone = take(LoginUse::kAlone);
  REQUIRE(alone);
  CHECK(!take(LoginUse::kAlone));
  CHECK(!take(LoginUse::kTogether));
  CHECK(take_now(loop, logins, LoginUse::kAlone, "other.example"));
  alone->release();
  auto first = take(LoginUse::kTogether);
  auto second = take(LoginUse::kTogether);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(!take(LoginUse::kAlone));
  first.reset();
  CHECK(!take(LoginUse::kAlone));
  second.reset();
  CHECK(take(LoginUse::kAlone));
}

TEST_CASE("who waits to log in is not kept waiting by those who come later") {
  const LeakCheck leaks;
  EventLoop loop;
  const TemporaryDirectory directory;
  const std::string logins = directory / "user/logins";
  auto together = take_now(loop, logins, LoginUse::kTogether);
  REQUIRE(together);
  const Awaited<LoginLocks::Lock> waited;
  on_loop(loop, [&loop, logins, waited] {
    LoginLocks{loop, logins}.take(
        kHost, LoginUse::kAlone, std::chrono::steady_clock::now() + kDeadline,
        [waited](const Expected<LoginLocks::Lock>& lock) { waited.set(lock ? *lock : nullptr); });
    return true;
  });
  CHECK(!take_now(loop, logins, LoginUse::kTogether));
  CHECK(!waited.is_set());
  together->release();
  const auto alone = waited.get();
  REQUIRE(alone);
  alone->release();
  CHECK(take_now(loop, logins, LoginUse::kTogether));
}

TEST_CASE("a child that is started meanwhile does not have the lock") {
  const LeakCheck leaks;
  EventLoop loop;
  const TemporaryDirectory directory;
  const std::string logins = directory / "user/logins";
  const std::string go = directory / "go";
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  auto lock = take_now(loop, logins, LoginUse::kAlone);
  REQUIRE(lock);
  const Awaited<std::string> out;
  run_command(loop, shell("read x < " + go + "; ls -l /dev/fd/; echo done"),
              [out](Expected<CommandResult> got) { out.set(got ? got->out : "failed"); });
  { std::ofstream{go} << "now\n"; }  // it runs
  CHECK(contains(out.get(), "done"));
  CHECK(!contains(out.get(), logins));
}

// ---- pulls
// ----------------------------------------------------------------------------

TEST_CASE("a plugin waits with its login for that of another one, and leaves it alone") {
  const bool same_state_dir = GENERATE(false, true);
  SharedMac node{same_state_dir};
  node.they_wait_in("image-pull");
  // The first use of this plugin, which looks for what dead ones have left.
  const Awaited<Expected<std::optional<Image>>> found;
  node.runtime->find_image(
      {"demo:1", {}}, [found](Expected<std::optional<Image>> got) { found.set(std::move(got)); });
  CHECK(found.get(kLong));
  const auto ours = node.begin_to_wait(request_of(credentials(), "private.example/y:1"));
  CHECK(node.calls("registry login") == 1);
  CHECK(node.calls("registry logout") == 0);
  CHECK(contains(node.logins(), kHost));
  node.let_go("image-pull");
  CHECK(node.theirs.get(kLong));
  CHECK(ours.get(kLong));
  CHECK(node.calls("registry login") == 2);
  CHECK(node.calls("registry logout") == 2);
  CHECK(node.logins().empty());
  CHECK(!node.marked());
}

TEST_CASE("a pull without credentials has nothing of another plugin's login") {
  SharedMac node;
  node.they_wait_in("image-pull");
  const auto ours = node.begin_to_wait(request_of({}, "private.example/y:1"));
  node.let_go("image-pull");
  CHECK(node.theirs.get(kLong));
  const auto without = ours.get(kLong);
  REQUIRE(!without);
  CHECK(contains(without.error().message(), "401"));
  CHECK(node.logins().empty());
}

TEST_CASE("the login of a plugin that dies in its pull is ended by the one that waits for it") {
  const bool same_state_dir = GENERATE(false, true);
  const bool with_credentials = GENERATE(false, true);
  SharedMac node{same_state_dir};
  node.they_hang_in_their_pull();
  auto request = request_of({}, "private.example/y:1");
  if (with_credentials) request.auth = credentials();
  const auto ours = node.begin_to_wait(request);
  node.other.die();
  const auto pulled = ours.get(kLong);
  CHECK(pulled.has_value() == with_credentials);
  if (!pulled) CHECK(contains(pulled.error().message(), "401"));
  CHECK(node.calls("registry login") == (with_credentials ? 2 : 1));
  CHECK(node.calls("registry logout") == (with_credentials ? 2 : 1));
  CHECK(node.logins().empty());
  CHECK(!node.marked());
}

TEST_CASE("a pull that waits since before that login ends it too") {
  SharedMac node;
  node.fault("image-pull", "hang times 1");
  node.they_wait_in("registry-list");
  REQUIRE(!node.marked());
  const auto ours = node.begin_to_wait(request_of({}, "private.example/y:1"));
  node.let_go("registry-list");
  node.wait_until_hung();
  node.other.die();
  const auto without = ours.get(kLong);
  REQUIRE(!without);
  CHECK(contains(without.error().message(), "401"));
  CHECK(node.logins().empty());
  CHECK(!node.marked());
}

TEST_CASE("what a dead plugin left is ended by another one, whatever its state directory") {
  const bool same_state_dir = GENERATE(false, true);
  const Mac node;
  {
    const OtherPlugin dying{node, same_state_dir ? node.config.state_dir : node.directory / "own"};
    node.fault("registry-logout", "exit 1 no more");
    REQUIRE(begin_pull(dying.runtime(), request_of(credentials())).get(kLong));
  }
  node.fault("registry-logout", "");
  REQUIRE(contains(node.logins(), kHost));
  REQUIRE(node.marked());
  CHECK(node.pull({}, "demo:1"));
  CHECK(eventually([&] { return !node.marked(); }, kLong));
  CHECK(node.logins().empty());
}

TEST_CASE("a pull does not wait for another plugin's from a different registry") {
  SharedMac node;
  node.they_hang_in_their_pull();
  CHECK(node.pull(credentials("docker.io"), "demo:1"));
  CHECK(node.pull({}, "public.example/x:1"));
  CHECK(!node.theirs.is_set());
  node.other.die();
}

TEST_CASE("a pull whose time another plugin's takes says so, and may be tried again") {
  SharedMac node;
  node.they_hang_in_their_pull();
  auto request = request_of(credentials(), "private.example/y:1");
  request.timeout = 300ms;
  const auto late = begin_pull(*node.runtime, request).get(10s);
  REQUIRE(!late);
  INFO(late.error().message());
  CHECK(late.error().code == ErrorCode::kTimeout);
  CHECK(contains(late.error().message(), kHost));
  CHECK(contains(late.error().message(), "another plugin"));
  CHECK(!node.somebody_waits());
  CHECK(!node.theirs.is_set());
  CHECK(contains(node.logins(), kHost));
  node.other.die();
}

TEST_CASE("no task logs in where the lock's directory is not this user's alone") {
  const Mac node;
  const std::string above = node.directory / "user";
  const std::string elsewhere = node.directory / "elsewhere";
  for (const char* how : {"open to others", "a file", "a link"}) {
    CAPTURE(how);
    std::filesystem::remove_all(above);
    if (how == std::string{"a file"}) {
      std::ofstream{above} << "mine\n";
    } else if (how == std::string{"a link"}) {
      std::filesystem::create_directories(elsewhere);
      std::filesystem::create_directory_symlink(elsewhere, above);
    } else {
      std::filesystem::create_directories(node.login_dir);
      REQUIRE(::chmod(above.c_str(), 0777) == 0);
    }
    const auto refused = node.pull(credentials());
    REQUIRE(!refused);
    INFO(refused.error().message());
    CHECK(!refused.error().recoverable());
    CHECK(contains(refused.error().message(), above));
    CHECK(contains(refused.error().message(), "0700"));
    CHECK(node.calls("registry login") == 0);
    CHECK(node.pull({}, "demo:1"));  // nobody of this user is logged in
  }
  std::filesystem::remove_all(above);
  CHECK(node.pull(credentials()));
  CHECK(node.logins().empty());
}
