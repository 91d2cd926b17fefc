// The CLI's words, and what a node's versions make of its health.
#include <string>

#include "runtime/apple_errors.hpp"
#include "runtime/apple_probe.hpp"
#include "runtime/apple_words.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;

namespace {

ErrorCode code_of(const char* err) {
  return apple_error("do", "it", ExitStatus{Exited{1}}, err).code;
}

}  // namespace

TEST_CASE("the CLI's errors become ours") {
  using enum ErrorCode;
  CHECK(code_of("Error: XPC connection error: Connection invalid\nEnsure container system service "
                "has been started with `container system start`.\n") == kRuntimeUnavailable);
  CHECK(code_of("Error: HTTP request to URL failed with response: 401 Unauthorized. Reason: x\n") ==
        kAuthFailed);
  CHECK(code_of("Error: HTTP request to URL failed with response: 404 Not Found. Reason: x\n") ==
        kImageNotFound);
  CHECK(code_of("Error: failed to bootstrap container (cause: \"internalError: \"failed to "
                "bootstrap container X (cause: \"unknown: \"bind(…): Address already in use) "
                "(errno: 48)\"\")\"\")\n") == kStartFailed);
  CHECK(code_of("Error: failed to find target executable /x\n") == kStartFailed);
  CHECK(code_of("Error: network backend not found\n") == kInvalidConfig);
  for (const char* err : {"Error: POSIXErrorCode(rawValue: 51): Network is unreachable\n",
                          "Error: POSIXErrorCode(rawValue: 50): Network is down\n",
                          "Error: connect(…): No route to host (errno: 65)\n"}) {
    CHECK(code_of(err) == kRegistryUnreachable);
  }
  CHECK(code_of("Error: failed to X (cause: \"notFound: \"container with ID c1 not found\"\")\n") ==
        kContainerGone);
  CHECK(code_of("Error: error querying keychain for h: -25308\n") == kAuthFailed);
  CHECK(code_of("Error: path '/x' does not exist\n") == kInvalidConfig);
}

TEST_CASE("what a registry answers counts, not what the image is called") {
  using enum ErrorCode;
  const auto of = [](const std::string& image, const std::string& status) {
    return apple_error("pull", image, ExitStatus{Exited{1}},
                       "Error: HTTP request to https://ghcr.io/v2/acme/" + image +
                           "/manifests/1 failed with response: " + status + ". Reason: x\n");
  };
  for (const char* image : {"keychain", "web-25308", "urlerror", "no-manifest", "network", "404"}) {
    INFO(image);
    CHECK(of(image, "404 Not Found").code == kImageNotFound);
    CHECK(of(image, "503 Service Unavailable").code == kRegistryUnreachable);
    CHECK(of(image, "429 Too Many Requests").code == kRegistryUnreachable);
    CHECK(of(image, "401 Unauthorized").code == kAuthFailed);
    CHECK(of(image, "401 Unauthorized").hint.find("keychain") == std::string::npos);
  }
  CHECK(code_of("Error: HTTP request to https://ghcr.io/v2/x failed with response: 404 Not Found. "
                "Reason: 401 unauthorized, error querying keychain\n") == kImageNotFound);
  const Error nobody = apple_error("pull", "x", ExitStatus{Exited{1}},
                                   "Error: HTTP request to URL failed with response: 401 "
                                   "Unauthorized. Reason: x no credentials found for host h\n");
  CHECK(nobody.hint.find("auth block") != std::string::npos);
}

TEST_CASE("a locked keychain comes with its own cure") {
  for (const char* err : {"Error: error querying keychain for h: unhandledError(status: -25308)\n",
                          "Error: unhandledError(status: -25308)\n",
                          "Error: Error Domain=NSOSStatusErrorDomain Code=-25308 \"x\"\n"}) {
    INFO(err);
    const Error error = apple_error("pull", "x", ExitStatus{Exited{1}}, err);
    CHECK(error.code == ErrorCode::kAuthFailed);
    CHECK(error.hint.find("unlock-keychain") != std::string::npos);
  }
}

TEST_CASE("no name that a job chooses makes another error of it") {
  using enum ErrorCode;
  for (const char* name :
       {"keychain", "x-25308", "timeout", "429", "404", "errno", "image", "container", "network",
        "urlerror", "connectiontimeout", "invalidargument", "is", "with", "minimum"}) {
    INFO(name);
    const std::string it{name};
    CHECK(code_of(("Error: network " + it + " not found\n").c_str()) == kInvalidConfig);
    CHECK(code_of(("Error: image not found: " + it + "\n").c_str()) == kImageNotFound);
    CHECK(code_of(("Error: container already exists: " + it + "\n").c_str()) == kAlreadyExists);
    CHECK(code_of(("Error: failed to bootstrap container " + it + " (cause: \"unknown: \"x\"\")\n")
                      .c_str()) == kStartFailed);
    CHECK(code_of(("Error: failed to find target executable " + it + "\n").c_str()) ==
          kStartFailed);
    CHECK(code_of(("Error: path '/" + it + "/" + it + "' does not exist\n").c_str()) ==
          kInvalidConfig);
  }
  CHECK(code_of("Error: path '/a/connection refused' does not exist\n") == kInvalidConfig);
  CHECK(code_of("Error: failed to find target executable it's already exists\n") == kStartFailed);
  CHECK(code_of("Error: failed to find target executable XPC connection error\n") == kStartFailed);
  CHECK(!says_daemon_is_down("Error: path '/XPC connection error' does not exist\n"));
}

TEST_CASE("only a container's name that is taken is one") {
  CHECK(says_already_exists("Error: container already exists: x\n"));
  CHECK(
      says_already_exists("Error: failed to create container (cause: \"exists: \"container already "
                          "exists: x\"\")\n"));
  CHECK(says_already_exists("Error: container with id x already exists\n"));
  CHECK(!says_already_exists(
      "Error: publish socket /alloc/container/app.sock already exists and may be in use\n"));
  CHECK(!says_already_exists("Error: network container already exists\n"));
}

TEST_CASE("errors are recoverable exactly where a retry may help") {
  const auto recoverable = [](const char* err) {
    return apple_error("do", "it", ExitStatus{Exited{1}}, err).recoverable();
  };
  CHECK(recoverable("Error: XPC connection error"));
  CHECK(recoverable("Error: HTTP request to URL failed with response: 503 Unavailable"));
  CHECK(!recoverable("Error: path '/x' does not exist"));
}

TEST_CASE("a daemon that takes too long is no registry that does not answer") {
  CHECK(
      says_daemon_timed_out("Error: internalError: \"XPC timeout for request to "
                            "com.apple.container.apiserver/containerCreate\"\n"));
  CHECK(says_daemon_timed_out("Error: timeout: \"create timed out\"\n"));
  CHECK(!says_daemon_timed_out("Error: NSURLErrorDomain -1001: The request timed out.\n"));
  CHECK(!says_daemon_timed_out("Error: HTTPClientError.connectTimeout\n"));
  CHECK(!says_daemon_timed_out("Error: container already exists: timeless\n"));
}

TEST_CASE("a name that reads like a time-out is none") {
  for (const char* err :
       {"Error: network timeout-lab not found\n", "Error: network timeout not found\n",
        "Error: container already exists: nomad-timeout-0a1b2c3d\n",
        "Error: failed to bootstrap container nomad-timeout-0a1b2c3d (cause: \"internalError: "
        "\"no such thing\"\")\n",
        "Error: get failed: container timeout not found\n", "Error: image not found: timeout\n",
        "Error: HTTP request to https://ghcr.io/v2/acme/timeout/manifests/1 failed with response: "
        "503 Service Unavailable. Reason: timed out\n",
        "Error: path '/alloc/local/it's timed out' does not exist\n",
        "Error: failed to find target executable it timed out\n"}) {
    INFO(err);
    CHECK(!says_daemon_timed_out(err));
  }
  for (const char* err :
       {"Error: failed to bootstrap container http-0a1b2c3d (cause: \"timeout: \"no answer\"\")\n",
        "Error: internalError: \"failed to create container\" (cause: \"timeout: \"\")\n",
        "Error: internalError: \"connect-lab\" (cause: \"internalError: \"XPC timeout for request "
        "to com.apple.container.apiserver/containerCreate\"\")\n"}) {
    INFO(err);
    CHECK(says_daemon_timed_out(err));
  }
}

TEST_CASE("names are cut out of the CLI's words, the words stay") {
  CHECK(apple_words("Error: network My-Net not found") == "error: network * not found");
  CHECK(apple_words("network network not found") == "network * not found");
  CHECK(apple_words("network container not found") == "network * not found");
  CHECK(apple_words("Network is unreachable") == "network is unreachable");
  CHECK(apple_words("get failed: container X not found") == "get failed: container * not found");
  CHECK(apple_words("(cause: \"notFound: \"container with ID c1 not found\"\")") ==
        "(cause: \"notfound: \"container with id * not found\"\")");
  CHECK(apple_words("container not found: a, b") == "container not found: *");
  CHECK(apple_words("container X is not running") == "container * is not running");
  CHECK(apple_words("container is not running") == "container is not running");
  CHECK(apple_words("path '/a b/it's c' isn't there") == "path '*' isn't there");
  CHECK(apple_words("it isn't there") == "it isn't there");
  CHECK(apple_words("HTTP request to https://h/v2/x failed") == "http request to * failed");
  CHECK(apple_words("connect(a/b:c:): No route") == "connect(a/b:c:): no route");
  CHECK(apple_words("error querying keychain for ghcr.io") == "error querying keychain for *");
  CHECK(apple_words("a b\nimage not found: c\n") == "a b\nimage not found: *\n");
  CHECK(apple_words("").empty());
}

TEST_CASE("the CLI's failure is seen behind what the task wrote without a line break") {
  constexpr const char* kCut = "50%Error: failed to start container: CancellationError()\n";
  CHECK(ends_with_cli_failure(kCut));
  CHECK(ends_like_cli_error(kCut));
  CHECK(!ends_with_cli_failure("Error: failed to start container: CancellationError()\n50%"));
  CHECK(!ends_with_cli_failure("CancellationError()\n"));
  CHECK(ends_with_cli_failure(
      "50%Error: failed to start container (cause: \"internalError: \"no such thing\"\")\n"));
  CHECK(!ends_like_cli_error("TypeError: failed to start container\n"));
}

TEST_CASE("missing containers of both families") {
  CHECK(says_container_not_found("Error: get failed: container X not found", "X"));
  CHECK(says_container_not_found("Error: container not found: a, b", "b"));
  CHECK(
      says_container_not_found("Error: internalError: \"failed to delete container\" (cause: "
                               "\"notFound: \"container with ID X not found\"\")",
                               "X"));
  CHECK(!says_container_not_found("Error: network X not found", "X"));
  CHECK(
      !says_container_not_found("Error: internalError: \"failed to delete container\" (cause: "
                                "\"notFound: \"runtime client not found\"\")",
                                "X"));
}

TEST_CASE("only the CLI's own last words count as its failure") {
  CHECK(ends_with_cli_failure("Error: failed to start container (cause: x)\n"));
  CHECK(ends_with_cli_failure("Error: XPC connection error: y\nrun `container system start`\n"));
  CHECK(!ends_with_cli_failure("Error: my program failed\n"));
  CHECK(!ends_with_cli_failure("Error: XPC connection error\nlater the program says more\n"));
  CHECK(!ends_with_cli_failure(""));
}

TEST_CASE("a node's health comes with the command that cures it") {
  const auto of = [](VersionNumber cli, std::optional<VersionNumber> daemon,
                     std::optional<VersionNumber> macos = std::nullopt) {
    return apple_fingerprint(cli, daemon, macos, true);
  };
  CHECK(of({1, 2, 2}, VersionNumber{1, 2, 2}).health == Health::kHealthy);
  CHECK(of({1, 2, 2}, VersionNumber{1, 2, 2}).description == "Healthy");
  CHECK(of({0, 10, 0}, {}).health == Health::kUnhealthy);
  CHECK(of({0, 10, 0}, {}).description.find("brew upgrade container") != std::string::npos);
  const auto mixed = of({1, 2, 2}, VersionNumber{1, 0, 0});
  CHECK(mixed.health == Health::kUnhealthy);
  CHECK(mixed.description.find("container system start") != std::string::npos);
  const auto old_macos = of({1, 2, 2}, VersionNumber{1, 2, 2}, VersionNumber{15, 4, 0});
  CHECK(old_macos.health == Health::kUnhealthy);
  CHECK(old_macos.description.find("softwareupdate --install") != std::string::npos);
  const auto newer = of({1, 4, 0}, VersionNumber{1, 4, 0});
  CHECK(newer.health == Health::kHealthy);
  CHECK(newer.description.find("newer") != std::string::npos);
  CHECK(newer.attributes.at("driver.container.runtime_version") == AttributeValue{"1.4.0"});
  CHECK(of({0, 12, 0}, VersionNumber{0, 12, 0}).description == "Healthy");
  const auto old = of({0, 11, 0}, VersionNumber{0, 11, 0});
  CHECK(old.health == Health::kHealthy);
  CHECK(old.description.find("allow_caps has no effect") != std::string::npos);
  CHECK(old.attributes.at("driver.container.feature.cap_drop") == AttributeValue{false});
  CHECK(old.attributes.at("driver.container.feature.rosetta") == AttributeValue{true});
}
