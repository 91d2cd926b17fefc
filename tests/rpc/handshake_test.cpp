#include "support/catch.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "rpc/handshake.hpp"

using namespace ndc::rpc;

namespace {

// Sets a variable for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_{name} {
    setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// Makes a directory one of an hour ago.
void age(const std::string& path, bool old) {
  const timespec then{time(nullptr) - (old ? 3600 : 0), 0};
  const timespec times[2] = {then, then};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

}  // namespace

TEST_CASE("only the right cookie counts as Nomad") {
  CHECK_FALSE(started_by_nomad());
  {
    const Variable wrong{"NOMAD_PLUGIN_MAGIC_COOKIE", "nonsense"};
    CHECK_FALSE(started_by_nomad());
  }
  const Variable right{"NOMAD_PLUGIN_MAGIC_COOKIE",
                       "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"};
  CHECK(started_by_nomad());
  clear_handshake_environment();
  CHECK_FALSE(started_by_nomad());
}

TEST_CASE("a host that asks for TLS is told that there is none") {
  const Variable certificate{"PLUGIN_CLIENT_CERT", "x"};
  const auto request = HandshakeRequest::from_environment();
  REQUIRE_FALSE(request);
  CHECK(request.error().message().find("PLUGIN_CLIENT_CERT") != std::string::npos);
}

TEST_CASE("the socket's directory comes from the environment") {
  {
    const Variable dir{"PLUGIN_UNIX_SOCKET_DIR", "/run/x"};
    CHECK(HandshakeRequest::from_environment()->socket_dir == "/run/x");
  }
  const Variable tmp{"TMPDIR", "/var/tmp"};
  CHECK(HandshakeRequest::from_environment()->socket_dir == "/var/tmp");
  const Variable group{"PLUGIN_UNIX_SOCKET_GROUP", "nomad"};
  CHECK(HandshakeRequest::from_environment()->socket_group == "nomad");
}

TEST_CASE("the handshake line names the socket and declines multiplexing only when asked") {
  CHECK(handshake_line("/tmp/s", {}) == "1|2|unix|/tmp/s|grpc|\n");
  HandshakeRequest request;
  request.multiplexing = true;
  CHECK(handshake_line("/tmp/s", request) == "1|2|unix|/tmp/s|grpc||false\n");
}

TEST_CASE("the socket's place is private, fresh, and gone afterwards") {
  std::string path;
  {
    const auto place = SocketPlace::make("/tmp/");
    const auto other = SocketPlace::make("/tmp");
    REQUIRE(place);
    REQUIRE(other);
    CHECK(place->directory() != other->directory());
    CHECK(mode_of(place->directory()) == 0700);
    CHECK(place->socket().size() < 104);
    path = place->directory();
  }
  CHECK(access(path.c_str(), F_OK) != 0);
}

TEST_CASE("the next plugin removes the place of one that was killed, and no other") {
  std::string parent = "/tmp/sweep-XXXXXX";
  REQUIRE(mkdtemp(parent.data()) != nullptr);
  const auto living = SocketPlace::make(parent).value();
  const auto make = [&](const std::string& name, bool old, const char* file) {
    const std::string path = parent + "/" + name;
    REQUIRE(mkdir(path.c_str(), 0700) == 0);
    if (file != nullptr) REQUIRE(fclose(fopen((path + file).c_str(), "w")) == 0);
    age(path, old);
    return path;
  };
  age(living.directory(), true);
  const std::string killed = make("ndcp-abcdef", true, "/plugin.sock");
  const std::string empty = make("ndcp-ghijkl", true, nullptr);
  const std::string young = make("ndcp-mnopqr", false, nullptr);
  const std::string full = make("ndcp-stuvwx", true, "/something");
  const std::string other = make("ndcp-longer-name", true, nullptr);
  {
    const auto next = SocketPlace::make(parent + "/");
    REQUIRE(next);
    CHECK_FALSE(exists(killed));
    CHECK_FALSE(exists(empty));
    for (const std::string& path : {living.directory(), young, full, other}) CHECK(exists(path));
  }
  unlink((full + "/something").c_str());
  for (const std::string& path : {young, full, other}) rmdir(path.c_str());
  rmdir(living.directory().c_str());
  CHECK(rmdir(parent.c_str()) == 0);
}

TEST_CASE("a path that is too long for a socket is refused with the limit") {
  const auto place = SocketPlace::make("/tmp/" + std::string(90, 'x'));
  REQUIRE_FALSE(place);
  CHECK(place.error().message().find("103") != std::string::npos);
  CHECK_FALSE(SocketPlace::make("/no/such/dir"));
}

TEST_CASE("a group that may connect gets the socket and its directory") {
  const auto place = SocketPlace::make("/tmp").value();
  REQUIRE(fclose(fopen(place.socket().c_str(), "w")) == 0);
  REQUIRE(place.share_with(std::to_string(getgid())));
  CHECK(mode_of(place.socket()) == 0660);
  CHECK(mode_of(place.directory()) == 0710);
  CHECK_FALSE(place.share_with("no-such-group"));
}
