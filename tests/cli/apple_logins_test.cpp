// Logins at registries: whose they are, and how long they last.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "cli/apple_mac.hpp"
#include "runtime/apple_login_mark.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::test;

namespace {

// The stand-in lets no other user in there.
constexpr const char* kOtherUser = "s/\"user\"/\"operator\"/";

}  // namespace

TEST_CASE("credentials are used for one pull and an operator's login is left alone") {
  const Mac node;
  const auto pull = [&](const std::string& password) {
    return node.pull(RegistryAuth{"user", password, kHost});
  };
  CHECK(pull("secret"));
  CHECK(node.logins().empty());
  const auto wrong = pull("wrong");
  REQUIRE(!wrong);
  CHECK(wrong.error().code == ErrorCode::kAuthFailed);
  CHECK(!contains(wrong.error().message(), "wrong\""));
  CHECK(node.logins().empty());
  CHECK(!node.marked());
  node.log_in();
  const auto refused = pull("secret");
  REQUIRE(!refused);
  CHECK(contains(refused.error().message(), "operator"));
  CHECK(!node.logins().empty());
}

TEST_CASE("a keychain that is locked is told with its cure, and no login is left") {
  for (const std::string version : {"0.11.0", "1.2.2"}) {
    const Mac node{version};
    for (const char* call : {"registry-login", "registry-list"}) {
      node.fault(call, "keychain");
      const auto pulled = node.pull(RegistryAuth{"user", "secret", kHost});
      node.fault(call, "");
      REQUIRE(!pulled);
      INFO(pulled.error().message());
      CHECK(pulled.error().code == ErrorCode::kAuthFailed);
      CHECK(contains(pulled.error().message(), "-25308"));
      CHECK(contains(pulled.error().message(), "security unlock-keychain"));
      CHECK(!contains(pulled.error().message(), "secret"));
      CHECK(node.logins().empty());
    }
    CHECK(node.pull(RegistryAuth{"user", "secret", kHost}));
  }
}

TEST_CASE("a service that is down at a login is no refusal of the credentials") {
  const Mac node;
  node.fault("registry-login", "xpc");
  const auto pulled = node.pull(RegistryAuth{"user", "secret", kHost});
  REQUIRE(!pulled);
  INFO(pulled.error().message());
  CHECK(pulled.error().code == ErrorCode::kRuntimeUnavailable);
  CHECK(pulled.error().recoverable());
}

TEST_CASE("a pull's time-out counts its wait for other pulls of the same registry") {
  const Mac node;
  node.fault("image-pull", "hang");
  const Awaited<Expected<Image>> first;
  node.runtime->pull_image(request_of(RegistryAuth{"user", "secret", kHost}),
                           [first](Expected<Image> got) { first.set(std::move(got)); });
  REQUIRE(eventually([&] { return node.calls("image pull") == 1; }, kLong));
  auto request = request_of(RegistryAuth{"user", "secret", kHost}, "private.example/y:1");
  request.timeout = 100ms;
  const Awaited<Expected<Image>> second;
  node.runtime->pull_image(request, [second](Expected<Image> got) { second.set(std::move(got)); });
  const auto late = second.get(10s);  // long before the first one's end
  REQUIRE(!late);
  CHECK(late.error().code == ErrorCode::kTimeout);
  CHECK(contains(late.error().message(), kHost));
  CHECK(!first.is_set());
  CHECK(node.calls("registry login") == 1);
  REQUIRE(!first.get(kLong));
  CHECK(node.logins().empty());
}

TEST_CASE("a login that a dead plugin left serves no task without credentials") {
  for (const std::string version : {"0.11.0", "1.2.2"}) {
    Mac node{version};
    node.crash_after_login();
    const auto without = node.pull({}, "private.example/other:1");
    REQUIRE(!without);
    CHECK(contains(without.error().message(), "401"));
    CHECK(node.logins().empty());
    CHECK(!node.marked());
  }
}

TEST_CASE("a login that cannot be ended serves no task either") {
  Mac node;
  node.crash_after_login();
  node.fault("registry-logout", "exit 1 not today");
  for (const auto& auth : {std::optional<RegistryAuth>{}, {RegistryAuth{"user", "x", kHost}}}) {
    const auto pulled = node.pull(auth, "private.example/other:1");
    REQUIRE(!pulled);
    CHECK(contains(pulled.error().message(), "not today"));
    CHECK(node.marked());
  }
  node.fault("registry-logout", "");
  CHECK(node.pull(RegistryAuth{"user", "secret", kHost}));
  CHECK(node.logins().empty());
  CHECK(!node.marked());
}

TEST_CASE("a login at docker.io is ended under the name by which the CLI keeps it") {
  for (const std::string version : {"0.11.0", "1.2.2"}) {
    const Mac node{version};
    CHECK(node.pull(RegistryAuth{"user", "secret", "docker.io"}, "demo:1"));
    CHECK(node.calls("registry login") == 1);
    CHECK(node.logins().empty());
    CHECK(!LoginMarks{node.login_dir}.exists("docker.io"));
  }
}

TEST_CASE("a login that a logout leaves there keeps its mark and is ended by the next pull") {
  const Mac node;
  node.fault("registry-logout", "exit 0 done");  // and nothing is
  CHECK(node.pull(RegistryAuth{"user", "secret", kHost}));
  CHECK(contains(node.logins(), kHost));
  CHECK(node.marked());
  const auto without = node.pull({}, "private.example/other:1");
  REQUIRE(!without);
  CHECK(contains(without.error().message(), "still lists the login"));
  CHECK(without.error().recoverable());
  node.fault("registry-logout", "");
  CHECK(node.pull(RegistryAuth{"user", "secret", kHost}));
  CHECK(node.logins().empty());
  CHECK(!node.marked());
}

TEST_CASE("what a dead plugin left is ended at the first use, whatever that is for") {
  Mac node;
  node.crash_after_login();
  CHECK(node.pull({}, "demo:1"));
  CHECK(eventually([&] { return !node.marked(); }, kLong));
  CHECK(node.logins().empty());
}

TEST_CASE("the operator's own login, made after a crash, outlives the plugin's mark") {
  const bool same_user = GENERATE(false, true);
  for (const std::string version : {"0.11.0", "1.2.2"}) {
    Mac node{version};
    node.crash_after_login();
    if (same_user) node.log_in();
    // Newer versions tell whole seconds, and the test does not wait for the next one.
    node.change_login(same_user ? "s/\"modified\":[0-9.e+]*/\"modified\":4e9/" : kOtherUser);
    (void)node.pull({}, "private.example/other:1");
    CHECK(contains(node.logins(), kHost));
    CHECK(!node.marked());
    CHECK(node.calls("registry logout") == 1);  // the one that failed
    const auto refused = node.pull(RegistryAuth{"user", "secret", kHost});
    REQUIRE(!refused);
    CHECK(contains(refused.error().message(), "operator is logged in"));
    CHECK(contains(node.logins(), kHost));
  }
}

TEST_CASE("an operator who logs in during a task's pull stays logged in") {
  Mac node;
  node.fault("image-pull", "hang");
  const Awaited<Expected<Image>> result;
  node.runtime->pull_image(request_of(RegistryAuth{"user", "secret", kHost}),
                           [result](Expected<Image> got) { result.set(std::move(got)); });
  REQUIRE(eventually([&] { return node.calls("image pull") == 1; }, kLong));
  node.change_login(kOtherUser);
  (void)run(*node.loop, shell("kill -9 $(sed -n '/image pull/s/.*\"pid\":\\([0-9]*\\).*/\\1/p' " +
                              node.directory / "cli/calls.jsonl" + ")"));
  CHECK(!result.get(kLong));
  CHECK(contains(node.logins(), kHost));
  CHECK(node.calls("registry logout") == 0);
  CHECK(!node.marked());
}

TEST_CASE("a mark names host, user and time, and nothing else proves a login") {
  const TemporaryDirectory directory;
  const std::string state = directory / "state";
  const LoginMarks marks{state};
  CHECK(marks.hosts().empty());
  const LoginMark mark{"localhost:5000", "some\none", WallTime{1234567ms}};
  REQUIRE(marks.write(mark));
  CHECK(marks.exists(mark.host));
  CHECK(marks.read(mark.host) == mark);
  CHECK(!marks.read("localhost"));
  CHECK(marks.hosts() == std::vector{mark.host});
  for (const char* text : {"", "login 1\n", "login 1\n12\nbad.test\n", "login 1\nx\nbad.test\nuser",
                           "login 1\n12\nother.test\nuser"}) {
    std::ofstream{state + "/login-bad.test", std::ios::trunc} << text;
    CHECK(marks.exists("bad.test"));
    CHECK(!marks.read("bad.test"));
    CHECK(marks.hosts() == std::vector<std::string>{"bad.test", mark.host});
    marks.give_up("bad.test");
    CHECK(marks.hosts() == std::vector{mark.host});
    CHECK(!marks.exists("bad.test"));
  }
  marks.remove(mark.host);
  CHECK(marks.hosts().empty());
  CHECK(std::filesystem::is_empty(state));
}

TEST_CASE("a mark that another plugin is about to write is let be") {
  const TemporaryDirectory directory;
  const std::string logins = directory / "logins";
  const LoginMarks marks{logins};
  REQUIRE(marks.write({"half.test", "user", WallTime{1234567ms}}));
  std::filesystem::rename(logins + "/login-half.test", logins + "/login-half.test.new");
  CHECK(marks.hosts().empty());
  CHECK(std::filesystem::exists(logins + "/login-half.test.new"));
  const LoginMark named_so{"registry.new", "user", WallTime{1234567ms}};
  REQUIRE(marks.write(named_so));
  CHECK(marks.hosts() == std::vector{named_so.host});
}

TEST_CASE("a mark that an earlier version left in the state directory ends its login") {
  Mac node;
  node.crash_after_login();
  std::filesystem::create_directories(node.config.state_dir);
  std::filesystem::rename(node.login_dir + "/login-private.example",
                          node.config.state_dir + "/login-private.example");
  CHECK(node.pull({}, "demo:1"));
  CHECK(eventually([&] { return std::filesystem::is_empty(node.config.state_dir); }, kLong));
  CHECK(node.logins().empty());
  CHECK(!node.marked());
}

#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a mark that cannot be opened for want of descriptors is kept") {
  const TemporaryDirectory directory;
  const LoginMarks marks{directory / "state"};
  const LoginMark mark{"localhost:5000", "someone", WallTime{1234567ms}};
  REQUIRE(marks.write(mark));
  {
    const NoDescriptors none;
    CHECK(!marks.read(mark.host));
    CHECK(!marks.readable(mark.host));
    marks.hosts();
  }
  CHECK(marks.hosts() == std::vector{mark.host});
}
#endif
