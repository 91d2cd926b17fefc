// A node for tests of logins: a Mac of whose user there may be more plugins than one.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/apple_node.hpp"
#include "runtime/apple_login_mark.hpp"

namespace ndc::test {

inline constexpr const char* kHost = "private.example";

inline PullRequest request_of(std::optional<RegistryAuth> auth,
                              const std::string& image = "private.example/x:1") {
  PullRequest request;
  request.image.reference = image;
  request.auth = std::move(auth);
  request.timeout = 20s;
  return request;
}

// With the password that the stand-in's private registries want.
inline RegistryAuth credentials(const std::string& host = kHost) {
  return {"user", "secret", host};
}

using Pulling = Awaited<Expected<Image>>;

inline Pulling begin_pull(ContainerRuntime& runtime, PullRequest request) {
  const Pulling result;
  runtime.pull_image(std::move(request),
                     [result](Expected<Image> got) { result.set(std::move(got)); });
  return result;
}

struct Mac : Node {
  using Node::Node;

  Expected<Image> pull(std::optional<RegistryAuth> auth,
                       const std::string& image = "private.example/x:1") const {
    return begin_pull(*runtime, request_of(std::move(auth), image)).get(kLong);
  }
  std::string logins() const { return ask("registry list --quiet"); }
  bool marked() const { return LoginMarks{login_dir}.exists(kHost); }

  // As the operator would.
  void log_in() const {
    (void)run(*loop, shell("echo secret | " + directory / "container" +
                           " registry login -u user --password-stdin " + kHost));
    REQUIRE(contains(logins(), kHost));
  }
  void change_login(const std::string& change) const {
    const std::string file = directory / "cli/registries/private.example.json";
    REQUIRE(std::filesystem::exists(file));
    const auto before = run(*loop, shell("cat " + file))->out;
    const auto after = run(*loop, shell("sed '" + change + "' " + file + " > " + file + "x && mv " +
                                        file + "x " + file + " && cat " + file))
                           ->out;
    REQUIRE(before != after);
  }
  // What a plugin leaves that dies between the login and the logout; its successor runs.
  void crash_after_login() {
    fault("registry-logout", "exit 1 no more");
    REQUIRE(pull(RegistryAuth{"user", "secret", kHost}));
    REQUIRE(contains(logins(), kHost));
    REQUIRE(marked());
    restart();
    fault("registry-logout", "");
  }
};

// Another plugin of the same user on the same Mac.
class OtherPlugin {
 public:
  OtherPlugin(const Node& node, const std::string& state_dir) {
    PluginConfig config = node.config;
    config.state_dir = state_dir;
    config.command_timeout = 20s;  // a case may hold a call of it back
    runtime_ = *make_apple(config, loop_, places::test_monitor, 0s, node.login_dir);
  }
  OtherPlugin(const OtherPlugin&) = delete;
  OtherPlugin& operator=(const OtherPlugin&) = delete;
  ~OtherPlugin() { die(); }

  ContainerRuntime& runtime() const { return *runtime_; }
  // What it was about it does not finish, and its pulls end with it.
  void die() {
    runtime_.reset();
    loop_.reset();
  }

 private:
  std::shared_ptr<EventLoop> loop_ = std::make_shared<EventLoop>();
  std::shared_ptr<ContainerRuntime> runtime_;
};

}  // namespace ndc::test
