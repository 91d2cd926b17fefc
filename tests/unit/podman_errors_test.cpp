// What podman's words mean, its credentials file, and the names that conmon's logs have for lines.

#include "runtime/podman_errors.hpp"
#include "runtime/k8s_log.hpp"
#include "runtime/podman_authfile.hpp"
#include "support/catch.hpp"

namespace ndc::runtime {
namespace {

Error error_of(const std::string& text) { return podman_error("do", "it", Exited{125}, text); }

TEST_CASE("podman's words are told apart by what can be done about them") {
  struct Row {
    const char* text;
    ErrorCode code;
  };
  using enum ErrorCode;
  const Row row = GENERATE(
      Row{"Error: no such container abc", kContainerGone},
      Row{"Error: inspecting object: no such container: \"abc\"", kContainerGone},
      Row{"Error: creating container storage: the container name \"n\" is already in use by abc. "
          "You "
          "have to remove that container to be able to reuse that name: that name is already in "
          "use",
          kAlreadyExists},
      Row{"Error: can only kill running containers. abc is in state exited: container state "
          "improper",
          kWrongState},
      Row{"Error: initializing source docker://r/x:1: reading manifest 1 in r/x: unauthorized: "
          "authentication required",
          kAuthFailed},
      Row{"Error: initializing source docker://x:latest: reading manifest latest in "
          "docker.io/library/x: errors:\ndenied: requested access to the resource is denied\n"
          "unauthorized: authentication required",
          kAuthFailed},
      Row{"Error: initializing source docker://r/x:9: reading manifest 9 in r/x: manifest unknown: "
          "manifest unknown",
          kImageNotFound},
      Row{"Error: short-name \"x\" did not resolve to an alias and no unqualified-search "
          "registries "
          "are defined in \"/etc/containers/registries.conf\"",
          kImageNotFound},
      Row{"Error: initializing source docker://127.0.0.1:1/x:latest: pinging container registry "
          "127.0.0.1:1: Get \"https://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection "
          "refused",
          kRegistryUnreachable},
      Row{"Error: ... dial tcp: lookup nope.invalid: no such host", kRegistryUnreachable},
      Row{"Error: ... http: server gave HTTP response to HTTPS client", kRegistryUnreachable},
      Row{"Error: ... received unexpected HTTP status: 503 Service Unavailable",
          kRegistryUnreachable},
      Row{"Error: rootlessport listen tcp 0.0.0.0:80: bind: address already in use", kStartFailed},
      Row{"Error: runc: runc create failed: unable to start container process: exec: \"nope\": "
          "executable file not found in $PATH: OCI runtime attempted to invoke a command that was "
          "not found",
          kStartFailed},
      Row{"runc create failed: unable to start container process: exec: \"/x\": stat /x: no such "
          "file or directory\nError: container create failed (no logs from conmon): conmon bytes",
          kStartFailed},
      Row{"crun: executable file `x` not found in $PATH: No such file or directory\n"
          "Error: OCI runtime error: no logs from conmon",
          kStartFailed},
      Row{"Error: workdir \"/nope\" does not exist on container abc", kStartFailed},
      Row{"Error: unable to find user nope: no matching entries in passwd file", kStartFailed},
      Row{"Error: unable to find network with name or ID nope: network not found", kInvalidConfig},
      Row{"Error: statfs /nope: no such file or directory", kInvalidConfig},
      Row{"Error: write /var/x: no space left on device", kRuntimeUnavailable},
      Row{"Error: mounting storage for container abc: creating overlay mount to /m, "
          "mount_data=\"lowerdir=/l,upperdir=/u,workdir=/w\": device or resource busy",
          kRuntimeUnavailable},
      Row{"Error: something new", kRuntimeUnavailable}, Row{"", kRuntimeUnavailable});
  CAPTURE(row.text);
  CHECK(error_of(row.text).code == row.code);
}

TEST_CASE("an error without words still has a cause") {
  CHECK(podman_error("start", "x", Exited{126}, "").message().find("exit code 126") !=
        std::string::npos);
  CHECK(podman_error("start", "x", Signalled{9}, "\n \n").message().find("SIGKILL") !=
        std::string::npos);
}

TEST_CASE("the reason is the last error, else the last line") {
  CHECK(podman_reason("a\nError: one\nError: two\nb\n") == "two");
  CHECK(podman_reason("a\nb\n\n") == "b");
  CHECK(podman_reason("").empty());
  CHECK(podman_reason("Error: a\tb\x01") == "a b ");
}

TEST_CASE("a registry's list of complaints is told whole") {
  CHECK(podman_reason("Error: reading manifest: errors:\ndenied: no\nunauthorized: log in\n") ==
        "reading manifest: errors: denied: no unauthorized: log in");
}

TEST_CASE("where podman got no words from conmon, those of the OCI runtime count") {
  CHECK(podman_reason("runc: exec: \"nope\": executable file not found in $PATH\n"
                      "Error: OCI runtime error: runc: no logs from conmon\n") ==
        "runc: exec: \"nope\": executable file not found in $PATH");
  CHECK(podman_reason("Error: no logs from conmon: EOF\n") == "no logs from conmon: EOF");
}

TEST_CASE("a reason is short and valid text, whatever podman said") {
  CHECK(podman_reason("Error: " + std::string(5000, 'x')).size() == 600);
  const std::string hostile = podman_reason("Error: " + std::string(5000, '\xFF'));
  CHECK(hostile.size() == 600);
  CHECK(valid_utf8(hostile) == hostile);
  std::string euros = "x";
  for (int i = 0; i < 1000; ++i) euros += "€";
  const std::string cut = podman_reason(euros);
  CHECK(cut.size() <= 600);
  CHECK(valid_utf8(cut) == cut);
}

TEST_CASE("questions that podman's words answer") {
  CHECK(says_no_such_container("Error: No such container: x"));
  CHECK(
      says_made_already("Error: container abc has already been created in runtime: container "
                        "state improper"));
  CHECK(
      says_made_already("Error: OCI runtime error: runc: runc create failed: container with given "
                        "ID already exists"));
  CHECK_FALSE(says_made_already("Error: volume abc already exists"));
  CHECK(says_name_in_use("… that name is already in use"));
  const std::string id(64, 'a');
  CHECK(holder_of_name("the container name \"web\" is already in use by " + id + ". You") == id);
  CHECK(holder_of_name("the container name \"web\" is already in use by \"" + id + "\"") == id);
  CHECK(holder_of_name("the container name \"web\" is already in use by somebody").empty());
  CHECK(holder_of_name("that name is already in use").empty());
  CHECK_FALSE(says_no_such_container("Error: no such image"));
}

TEST_CASE("credentials are written in the form that podman reads, of any length") {
  CHECK(podman_authfile({"u", "p", "r:5000"}) == R"({"auths":{"r:5000":{"auth":"dTpw"}}})");
  CHECK(podman_authfile({"u", "pp", "r"}) == R"({"auths":{"r":{"auth":"dTpwcA=="}}})");
  CHECK(podman_authfile({"u", "ppp", "r"}) == R"({"auths":{"r":{"auth":"dTpwcHA="}}})");
  CHECK(podman_authfile({"u", "\xFF\xFE", "r\"}"}) == R"({"auths":{"r\"}":{"auth":"dTr//g=="}}})");
}

constexpr const char* kStamp = "2024-02-03T04:05:06.123456789+00:00 ";

TEST_CASE("a conmon log becomes the bytes that were written") {
  const std::string stamp = kStamp;
  const std::string log =
      stamp + "stdout F one\n" + stamp + "stderr P tw\n" + stamp + "stdout F o\n";
  const auto decoded = decode_k8s_log(log, false);
  CHECK(decoded.text == "one\ntwo\n");
  CHECK(decoded.consumed == log.size());
  REQUIRE(decoded.records.size() == 3);
  CHECK(decoded.records[0].text == 4);
  CHECK(decoded.records[2].log == log.size());
}

TEST_CASE("wherever a conmon log is cut, no byte is lost and none comes twice") {
  const std::string stamp = kStamp;
  const std::string log = stamp + "stdout F one\nnot a record\n" + stamp + "stdout P \n" + stamp +
                          "stdout F \n" + stamp + "stdout F a F b\n";
  const std::string whole = decode_k8s_log(log, true).text;
  CHECK(whole == "one\nnot a record\n\na F b\n");
  for (std::size_t cut = 0; cut <= log.size(); ++cut) {
    const auto head = decode_k8s_log(std::string_view{log}.substr(0, cut), false);
    const auto tail = decode_k8s_log(std::string_view{log}.substr(head.consumed), true);
    CHECK(head.text + tail.text == whole);
  }
}

TEST_CASE("an unfinished last record counts at the end of the log only") {
  const std::string log = std::string{kStamp} + "stdout F unfinish";
  CHECK(decode_k8s_log(log, false).consumed == 0);
  CHECK(decode_k8s_log(log, true).text == "unfinish");
}

TEST_CASE("an image's name is no reason") {
  const auto error = [](const std::string& image, const std::string& text) {
    return podman_error("pull image", image, Exited{125}, text);
  };
  const std::string refused =
      "Error: initializing source docker://registry.example.com/team/access-denied:1: pinging "
      "container registry registry.example.com: dial tcp 127.0.0.1:1: connect: connection refused";
  CHECK(error("registry.example.com/team/access-denied:1", refused).code ==
        ErrorCode::kRegistryUnreachable);
  CHECK(error("team/access-denied", refused).code == ErrorCode::kRegistryUnreachable);
  CHECK(error("denied", "Error: denied: requested access to the resource is denied").code ==
        ErrorCode::kAuthFailed);
  CHECK(error("a", "Error: manifest unknown").code == ErrorCode::kImageNotFound);
}

}  // namespace
}  // namespace ndc::runtime
