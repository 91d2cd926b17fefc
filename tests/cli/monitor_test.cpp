// The monitor as a real process around a small attached "CLI".
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/machine.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/monitor_spool.hpp"
#include "runtime/unique_fd.hpp"
#include "support/places.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;
using namespace std::chrono_literals;

namespace {

// The log collector's end of a FIFO.
class Collector {
 public:
  explicit Collector(const std::string& path)
      : fd_{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)} {
    REQUIRE(fd_);
  }
  // What has arrived, once it is `size` bytes long or the deadline has passed.
  std::string read(std::size_t size) {
    eventually([&] {
      char buffer[64 * 1024];
      const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
      if (got > 0) text_.append(buffer, static_cast<std::size_t>(got));
      return text_.size() >= size;
    });
    return text_;
  }
  // Nobody has it open for writing.
  bool at_end() const {
    char byte = 0;
    return ::read(fd_.get(), &byte, 1) == 0;
  }

 private:
  UniqueFd fd_;
  std::string text_;
};

struct Fixture {
  LeakCheck leaks;
  TemporaryDirectory directory;
  EventLoop loop;
  std::string state = directory / "task";
  std::string socket = directory / "s";
  std::string out = directory / "out";
  std::string err = directory / "err";
  std::string limit = "67108864";
  std::vector<std::string> before;  // words in front of the monitor's command line
  // The FIFOs' ends that the plugin's log route keeps.
  UniqueFd out_end, err_end;

  Fixture() {
    REQUIRE(::mkdir(state.c_str(), 0700) == 0);
    for (const std::string& fifo : {out, err}) REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    out_end = UniqueFd{::open(out.c_str(), O_RDWR | O_CLOEXEC)};
    err_end = UniqueFd{::open(err.c_str(), O_RDWR | O_CLOEXEC)};
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() {
    if (const pid_t pid = living_monitor(state); pid > 0) ::kill(pid, SIGKILL);
  }

  Expected<CommandResult> launch(const std::vector<std::string>& more) {
    Command command;
    command.argv = before;
    for (const std::string& word : {std::string{places::test_monitor}, std::string{"monitor"},
                                    state, socket, out, err, limit}) {
      command.argv.push_back(word);
    }
    command.argv.insert(command.argv.end(), more.begin(), more.end());
    command.environment = {"PATH=/usr/bin:/bin", "TERM=dumb"};
    command.timeout = kDeadline;
    return run(loop, std::move(command));
  }
  void start(const std::string& script, bool tty = false) {
    std::vector<std::string> more;
    if (tty) more.emplace_back("--tty");
    for (const char* word : {"--", "/bin/sh", "-c"}) more.emplace_back(word);
    more.push_back(script);
    const auto result = launch(more);
    REQUIRE(result);
    INFO(result->err);
    REQUIRE(result->status == ExitStatus{Exited{0}});
  }
  ExitRecord record() const {
    std::optional<ExitRecord> found;
    REQUIRE(eventually([&] { return (found = read_exit_record(state)).has_value(); }));
    return *found;
  }
  bool ended() const {
    return eventually([&] { return living_monitor(state) == 0; });
  }
};

class Connection {
 public:
  explicit Connection(const std::string& path) : fd_{::socket(AF_UNIX, SOCK_STREAM, 0)} {
    ::fcntl(fd_.get(), F_SETFD, FD_CLOEXEC);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  // The next line; empty at the end.
  std::string line() {
    std::size_t end = 0;
    while ((end = text_.find('\n')) == std::string::npos) {
      pollfd wait{fd_.get(), POLLIN, 0};
      REQUIRE(::poll(&wait, 1, 60'000) == 1);
      char buffer[256];
      const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
      if (got <= 0) return "";
      text_.append(buffer, static_cast<std::size_t>(got));
    }
    std::string out = text_.substr(0, end);
    text_.erase(0, end + 1);
    return out;
  }
  void send(const std::string& text) const {
    REQUIRE(::write(fd_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

 private:
  UniqueFd fd_;
  std::string text_;
};

std::string numbered_lines(int count) {
  std::string out;
  for (int i = 1; i <= count; ++i) out += std::to_string(i) + "\n";
  return out;
}

}  // namespace

TEST_CASE("the exit code, both streams and the last words of stderr are kept") {
  Fixture f;
  Collector out{f.out};
  Collector err{f.err};
  f.start("echo hello; echo Error: oops >&2; exit 7");
  const ExitRecord record = f.record();
  CHECK(record.kind == ExitRecord::Kind::kExited);
  CHECK(record.value == 7);
  CHECK(record.stderr_tail == "Error: oops\n");
  CHECK(out.read(6) == "hello\n");
  CHECK(err.read(12) == "Error: oops\n");
  CHECK(f.ended());
}

TEST_CASE("a CLI that is killed leaves its signal") {
  Fixture f;
  f.start("kill -9 $$");
  const ExitRecord record = f.record();
  CHECK(record.kind == ExitRecord::Kind::kSignalled);
  CHECK(record.value == SIGKILL);
  CHECK(f.ended());
}

TEST_CASE("a CLI that cannot be run is said to be so") {
  Fixture f;
  const auto result = f.launch({"--", "/no/such/cli"});
  REQUIRE(result);
  const ExitRecord record = f.record();
  CHECK(record.kind == ExitRecord::Kind::kNotSpawned);
  CHECK(record.value == ENOENT);
  CHECK(f.ended());
}

TEST_CASE("who connects anew after hanging up hears the same") {
  Fixture f;
  f.start("sleep 60");
  {
    Connection first{f.socket};
    CHECK(first.line().starts_with("running "));
  }
  Connection second{f.socket};
  CHECK(second.line().starts_with("running "));
}

TEST_CASE("an exit is told before the collector has everything, and delivery after") {
  Fixture f;
  const std::string go = f.directory / "go";
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  f.start("echo text; read x < " + go + "; exit 3");
  Connection plugin{f.socket};
  CHECK(plugin.line().starts_with("running "));
  { std::ofstream{go} << "now\n"; }
  CHECK(plugin.line() == "exit");
  CHECK(read_exit_record(f.state)->value == 3);
  CHECK(living_monitor(f.state) > 0);  // "text" has not been read
  Collector out{f.out};
  CHECK(out.read(5) == "text\n");
  CHECK(plugin.line() == "delivered");
  CHECK(f.ended());
}

// What Nomad does on hearing of a task's end may be to start it again, and its log collector is
// started again only where it has come to the end by then.
TEST_CASE("the FIFOs have no writer any more when the delivery is told") {
  Fixture f;
  Collector out{f.out};
  const UniqueFd err{::open(f.err.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  const std::string go = f.directory / "go";
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  f.start("echo text; read x < " + go);
  Connection plugin{f.socket};
  CHECK(plugin.line().starts_with("running "));
  f.out_end.reset();
  f.err_end.reset();
  { std::ofstream{go} << "now\n"; }
  CHECK(out.read(5) == "text\n");
  CHECK(plugin.line() == "exit");
  CHECK(plugin.line() == "delivered");
  CHECK(out.at_end());
  char byte = 0;
  CHECK(::read(err.get(), &byte, 1) == 0);
}

TEST_CASE("a silent task's collector sees a writer when the plugin is gone") {
  Fixture f;
  const UniqueFd collector{::open(f.out.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  f.start("sleep 60");
  f.out_end.reset();
  char byte = 0;
  // Without a writer it would be 0, the end, after which Nomad's collector reads no more.
  CHECK(eventually([&] { return ::read(collector.get(), &byte, 1) == -1 && errno == EAGAIN; }));
}

TEST_CASE("what a collector does not take waits in the spool and comes in order") {
  Fixture f;
  const int lines = 100'000;  // ten times what a FIFO holds
  f.start("i=0; seq 1 " + std::to_string(lines) + "; exit 0");
  CHECK(f.record().value == 0);  // nobody reads, and yet the task could end
  CHECK(has_spooled(f.state));
  const std::string want = numbered_lines(lines);
  Collector out{f.out};
  CHECK(out.read(want.size()) == want);
  CHECK(f.ended());
  CHECK(!has_spooled(f.state));
}

TEST_CASE("a killed monitor's spool is delivered by the next, without a gap or a repetition") {
  Fixture f;
  const int lines = 100'000;
  f.start("seq 1 " + std::to_string(lines) + "; sleep 60");
  const std::string want = numbered_lines(lines);
  REQUIRE(eventually([&] {
    const auto waiting = Spool::pending_in((f.state + "/spool.out").c_str());
    return waiting + bytes_in_fifo(f.out) == want.size();
  }));
  const pid_t monitor = living_monitor(f.state);
  REQUIRE(monitor > 0);  // kill() takes a number below 1 for many
  ::kill(monitor, SIGKILL);
  REQUIRE(f.ended());
  CHECK(!read_exit_record(f.state));
  const auto result = f.launch({"--deliver"});
  REQUIRE(result);
  CHECK(result->status == ExitStatus{Exited{0}});
  Collector out{f.out};
  CHECK(out.read(want.size()) == want);
  CHECK(f.ended());
}

TEST_CASE("a full spool makes the workload wait, and no byte is lost") {
  Fixture f;
  f.limit = "65536";
  const int lines = 60'000;  // some 340 KB: FIFO, spool and pipe together hold less
  f.start("seq 1 " + std::to_string(lines) + "; echo end >&2");
  const std::string spool = f.state + "/spool.out";
  REQUIRE(eventually([&] { return Spool::pending_in(spool.c_str()) >= 65536; }));
  CHECK(Spool::pending_in(spool.c_str()) <= 2 * 65536 + 32 * 1024);
  const std::string want = numbered_lines(lines);
  Collector out{f.out};
  CHECK(out.read(want.size()) == want);
  CHECK(f.record().value == 0);
}

TEST_CASE("on a full disk the workload waits, and goes on when the collector is there") {
  Fixture f;
  // A limit on the size of files does what a full disk does.
  f.before = {"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh"};
  const int lines = 60'000;  // some 340 KB, to a disk that takes 128
  f.start("seq 1 " + std::to_string(lines));
  const std::string spool = f.state + "/spool.out";
  REQUIRE(eventually([&] { return Spool::pending_in(spool.c_str()) >= 96 * 1024; }));
  CHECK(Connection{f.socket}.line().starts_with("running "));
  const std::string want = numbered_lines(lines);
  Collector out{f.out};
  CHECK(out.read(want.size()) == want);
  CHECK(f.record().value == 0);
}

TEST_CASE("on a disk too full for the monitor's name none is started, and none is left") {
  Fixture f;
  f.before = {"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"};
  const std::string ran = f.directory / "ran";
  const auto result = f.launch({"--", "/bin/sh", "-c", ": > " + ran + "; exec sleep 600"});
  REQUIRE(result);
  CHECK(result->status == ExitStatus{Exited{1}});
  CHECK(contains(result->err, "write the lock: "));
  CHECK(living_monitor(f.state) == 0);
  CHECK(!std::filesystem::exists(ran));
  // As before, once there is room.
  f.before.clear();
  f.start(": > " + ran);
  CHECK(f.record().value == 0);
  CHECK(std::filesystem::exists(ran));
  CHECK(f.ended());
}

TEST_CASE("a monitor without its directory ends with its CLI, whatever that still writes") {
  Fixture f;
  f.start("while test -d " + f.state + "; do sleep 0.05; done; seq 1 60000; exec sleep 600");
  const pid_t monitor = living_monitor(f.state);
  REQUIRE(monitor > 0);
  Connection plugin{f.socket};
  plugin.send("quit\n");
  std::filesystem::remove_all(f.state);
  CHECK(eventually([&] { return ::kill(monitor, 0) != 0; }));
}

TEST_CASE("what a CLI leaves in one pipe is read while others hold the other one open") {
  Fixture f;
  const std::string go = f.directory / "go";
  const std::string ready = f.directory / "ready";
  const std::string written = f.directory / "written";
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  const std::size_t size = 60'000;  // less than a pipe holds, more than the monitor reads at once
  f.start("sleep 3 2>/dev/null & : > " + ready + "; read x < " + go + "; head -c " +
          std::to_string(size) + " /dev/zero | tr '\\0' x >&2; : > " + written + "; exit 3");
  const pid_t monitor = living_monitor(f.state);
  REQUIRE(monitor > 0);
  REQUIRE(eventually([&] { return std::filesystem::exists(ready); }));
  // It finds the whole output in the pipe, and the CLI's end, when it goes on.
  ::kill(monitor, SIGSTOP);
  { std::ofstream{go} << "now\n"; }
  REQUIRE(eventually([&] { return std::filesystem::exists(written); }));
  std::this_thread::sleep_for(100ms);
  ::kill(monitor, SIGCONT);
  CHECK(f.record().value == 3);
  Collector err{f.err};
  CHECK(err.read(size) == std::string(size, 'x'));
}

TEST_CASE("a second monitor of the same task is refused") {
  Fixture f;
  f.start("sleep 60");
  const pid_t first = living_monitor(f.state);
  const auto second = f.launch({"--", "/bin/true"});
  REQUIRE(second);
  CHECK(second->status != ExitStatus{Exited{0}});
  CHECK(living_monitor(f.state) == first);
}

TEST_CASE(
    "a new FIFO in the old one's place gets what the old one still held, of a quiet task too") {
  Fixture f;
  const std::string go = f.directory / "go";
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  f.start("echo old; read x < " + go + "; echo new; exit 0");
  REQUIRE(eventually([&] {
    pollfd wait{f.out_end.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }));
  REQUIRE(::unlink(f.out.c_str()) == 0);
  REQUIRE(::mkfifo(f.out.c_str(), 0600) == 0);
  Collector out{f.out};
  CHECK(out.read(4) == "old\n");  // the task writes nothing meanwhile
  { std::ofstream{go} << "now\n"; }
  CHECK(out.read(8) == "old\nnew\n");
  CHECK(f.ended());
}

TEST_CASE("what an old FIFO still held stays there for as long as the spool cannot take it") {
  Fixture f;
  const std::string go = f.directory / "go";
  REQUIRE(::mkfifo(go.c_str(), 0600) == 0);
  f.start("echo old; read x < " + go + "; echo new; exit 0");
  REQUIRE(eventually([&] {
    pollfd wait{f.out_end.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }));
  // Where the spool is written anew there is something that is no file.
  const std::string in_the_way = f.state + "/spool.out.new";
  REQUIRE(::mkdir(in_the_way.c_str(), 0700) == 0);
  // Of a FIFO without a name any more, in whole seconds and a part that each system calls
  // otherwise.
  const auto written_at = [&] {
    struct stat info {};
    REQUIRE(::fstat(f.out_end.get(), &info) == 0);
#if defined(__APPLE__)
    return std::pair{info.st_mtimespec.tv_sec, info.st_mtimespec.tv_nsec};
#else
    return std::pair{info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
#endif
  };
  const auto before = written_at();
  REQUIRE(::unlink(f.out.c_str()) == 0);
  REQUIRE(::mkfifo(f.out.c_str(), 0600) == 0);
  Collector out{f.out};
  REQUIRE(eventually([&] { return written_at() != before; }));  // read, and put back
  REQUIRE(::rmdir(in_the_way.c_str()) == 0);
  CHECK(out.read(4) == "old\n");
  { std::ofstream{go} << "now\n"; }
  CHECK(out.read(8) == "old\nnew\n");
  CHECK(f.ended());
}

TEST_CASE("a terminal is the CLI's own, changes no byte and takes a size") {
  Fixture f;
  Collector out{f.out};
  f.start(
      "[ -t 0 ] && [ -t 1 ] && stty size; "
      "until [ \"$(stty size)\" = '50 132' ]; do sleep 0.02; done; stty size; exit 4",
      true);
  CHECK(out.read(6) == "24 80\n");
  const Connection plugin{f.socket};
  plugin.send("resize 50 132\n");
  CHECK(out.read(13) == "24 80\n50 132\n");
  CHECK(f.record().value == 4);
  CHECK(f.ended());
}

TEST_CASE("an order counts, though who gave it has gone before the monitor came to it") {
  Fixture f;
  f.start("sleep 100");
  const pid_t pid = living_monitor(f.state);
  REQUIRE(pid > 0);
  REQUIRE(::kill(pid, SIGSTOP) == 0);
  {
    const auto plugin = Connection{f.socket};
    plugin.send("quit\n");
  }
  REQUIRE(::kill(pid, SIGCONT) == 0);
  CHECK(f.ended());
}

TEST_CASE("a monitor that is told to quit ends with what is left of its CLI") {
  Fixture f;
  f.start("echo lost; exit 0");
  CHECK(f.record().value == 0);
  CHECK(living_monitor(f.state) > 0);
  Connection plugin{f.socket};
  plugin.send("quit\n");
  CHECK(f.ended());
}

TEST_CASE("what nobody has read when a monitor is told to keep it comes before its successor's") {
  Fixture f;
  const std::string want = numbered_lines(100'010);
  const std::string first = numbered_lines(100'000);  // ten times what a FIFO holds
  f.start("seq 1 100000; exit 3");
  CHECK(f.record().value == 3);
  {
    const Connection plugin{f.socket};
    plugin.send("keep\nquit\n");
    REQUIRE(f.ended());
  }
  CHECK(spooled(f.state) == first.size());
  Collector out{f.out};
  f.start("seq 100001 100010");
  CHECK((out.read(want.size()) == want));  // too long to be shown
  CHECK(f.ended());
  CHECK(!has_spooled(f.state));
}

TEST_CASE("what waits in the FIFO alone is kept, too, of both streams") {
  Fixture f;
  f.start("echo out; echo err >&2");
  f.record();
  {
    const Connection plugin{f.socket};
    plugin.send("keep\nquit\n");
    REQUIRE(f.ended());
  }
  CHECK(spooled(f.state) == 8);
  Collector out{f.out};
  Collector err{f.err};
  f.start("echo more; echo than >&2");
  CHECK(out.read(9) == "out\nmore\n");
  CHECK(err.read(9) == "err\nthan\n");
  CHECK(f.ended());
}

TEST_CASE("what was kept and what comes after it have one limit") {
  Fixture f;
  constexpr std::uint64_t kLimit = 65536;
  f.limit = std::to_string(kLimit);
  f.start("seq 1 20000");  // some 109 KB
  f.record();
  {
    const Connection plugin{f.socket};
    plugin.send("keep\nquit\n");
    REQUIRE(f.ended());
  }
  const std::string spool = f.state + "/spool.out";
  REQUIRE(Spool::pending_in(spool.c_str()) == numbered_lines(20'000).size());
  const std::string done = f.directory / "done";
  const int lines = 80'000;  // some 470 KB: FIFO, spool and pipe together hold less
  f.start("seq 20001 " + std::to_string(lines) + "; : > " + done);
  REQUIRE(eventually([&] { return Spool::pending_in(spool.c_str()) >= 2 * kLimit; }));
  CHECK(Spool::pending_in(spool.c_str()) <= 2 * kLimit + 32 * 1024);
  CHECK(!std::filesystem::exists(done));
  const std::string want = numbered_lines(lines);
  Collector out{f.out};
  CHECK((out.read(want.size()) == want));
  CHECK(f.ended());
  CHECK(std::filesystem::exists(done));
}

TEST_CASE("a monitor whose directory was removed does not wait for a collector") {
  Fixture f;
  f.start("echo nobody reads this");
  f.record();
  const pid_t monitor = living_monitor(f.state);
  REQUIRE(monitor > 0);  // it still has something to deliver
  std::filesystem::remove_all(f.state);
  CHECK(eventually([&] { return ::kill(monitor, 0) != 0; }));
}

TEST_CASE("a monitor whose directory was removed ends a CLI that hangs") {
  Fixture f;
  f.start("exec sleep 600");
  const pid_t monitor = living_monitor(f.state);
  REQUIRE(monitor > 0);
  std::filesystem::remove_all(f.state);
  CHECK(eventually([&] { return ::kill(monitor, 0) != 0; }, std::chrono::seconds{40}));
}

TEST_CASE("the monitor ignores babble and a client that reads nothing") {
  Fixture f;
  f.start("sleep 60");
  {
    Connection plugin{f.socket};
    plugin.send(std::string(4000, 'x'));
  }
  Connection plugin{f.socket};
  CHECK(plugin.line().starts_with("running "));
  plugin.send("resize -1 99999999999\nresize 1\n\nnonsense\n");
  Connection again{f.socket};
  CHECK(again.line().starts_with("running "));
}

// UBSan looks with a pipe whether an object can be read: without descriptors all are bad to it.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("without a free descriptor neither a record nor a monitor is said to be missing") {
  Fixture f;
  f.start("sleep 60");
  REQUIRE(write_exit_record(f.state.c_str(), {ExitRecord::Kind::kExited, 3, 1, ""}));
  const pid_t monitor = living_monitor(f.state);
  REQUIRE(monitor > 0);
  const auto [look, living] = [&] {
    const NoDescriptors none;
    return std::pair{look_for_exit_record(f.state), living_monitor(f.state)};
  }();
  CHECK(!look.known);
  CHECK(!look.record);
  CHECK(living < 0);
  CHECK(look_for_exit_record(f.state).record);
  CHECK(living_monitor(f.state) == monitor);
  CHECK(look_for_exit_record(f.directory / "none").known);
  CHECK(look_for_exit_record(f.out + "/none").known);
  CHECK(living_monitor(f.directory / "none") == 0);
}
#endif

TEST_CASE("an exit record is whole or none") {
  const TemporaryDirectory directory;
  const std::string path = directory / "";
  CHECK(!read_exit_record(path));
  const ExitRecord record{ExitRecord::Kind::kSignalled, 9, 1234567890123, "bytes\n\0more"};
  CHECK(!sync_exit_record(path.c_str()));
  REQUIRE(write_exit_record(path.c_str(), record));
  CHECK(sync_exit_record(path.c_str()));
  CHECK(read_exit_record(path)->value == 9);
  CHECK(read_exit_record(path)->at_ms == 1234567890123);
  CHECK(read_exit_record(path)->stderr_tail == record.stderr_tail);
  const std::string file = directory / "exit";
  for (const char* bad :
       {"", "exit-record 1\n", "exit-record 1\nexited 3\nat 1\nstderr 99\nx",
        "exit-record 2\nexited 3\nat 1\nstderr 0\n", "exit-record 1\nfoo 3\nat 1\nstderr 0\n"}) {
    std::ofstream{file, std::ios::trunc} << bad;
    CHECK(!read_exit_record(path));
  }
}
