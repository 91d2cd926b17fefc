// The monitor's spool alone: what it holds, how large its file is, and what a killed process
// leaves.
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <tuple>

#include "runtime/machine.hpp"
#include "runtime/monitor_spool.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;

namespace {

constexpr std::size_t kBlock = 32u << 10;  // what the monitor reads and writes at once
constexpr std::uint64_t kMiB = 1u << 20;

// The `index`th of a stream whose every eight bytes say where they are in it.
void fill(char (&block)[kBlock], std::uint64_t index) {
  for (std::size_t at = 0; at < kBlock; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = (index * kBlock + at) / sizeof word;
    std::memcpy(block + at, &word, sizeof word);
  }
}

bool append(Spool& spool, std::uint64_t index) {
  char block[kBlock];
  fill(block, index);
  return spool.append(block, sizeof block);
}

// The next pending bytes are that block.
bool begins_with(const Spool& spool, std::uint64_t index) {
  char want[kBlock];
  char got[kBlock];
  fill(want, index);
  return spool.peek(got, sizeof got) == kBlock && std::memcmp(want, got, kBlock) == 0;
}

std::uint64_t size_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

// Files cannot grow past `size`, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t size) : signal_{::signal(SIGXFSZ, SIG_IGN)} {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit full{size, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &full) == 0);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, signal_);
  }

 private:
  void (*signal_)(int);
  rlimit before_{};
};

}  // namespace

TEST_CASE("a spool that is never empty does not grow for what was delivered") {
  const TemporaryDirectory directory;
  const std::string path = directory / "spool.out";
  const std::uint64_t lag = GENERATE(1u, 8u, 96u);  // blocks that the collector is behind
  Spool spool{path.c_str()};
  for (std::uint64_t i = 0; i < lag; ++i) REQUIRE(append(spool, i));
  const std::uint64_t bound = lag * kBlock + std::max(kMiB, lag * kBlock) + 2 * kBlock;
  std::uint64_t largest = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    REQUIRE(append(spool, lag + i));
    REQUIRE(begins_with(spool, i));
    spool.consume(kBlock);
    REQUIRE(spool.pending() == lag * kBlock);
    largest = std::max(largest, size_of(path));
    if (i % 100 == 99) CHECK(Spool::pending_in(path.c_str()) == lag * kBlock);
  }
  CHECK(largest <= bound);
  CHECK_FALSE(std::filesystem::exists(path + ".new"));
  // A successor finds the same.
  Spool next{path.c_str()};
  REQUIRE(next.restore());
  CHECK(next.pending() == lag * kBlock);
  CHECK(begins_with(next, 1000));
}

TEST_CASE("a spool whose file cannot be written anew goes on in the old one") {
  const TemporaryDirectory directory;
  const std::string path = directory / "spool.out";
  const std::string in_the_way = path + ".new";
  REQUIRE(::mkdir(in_the_way.c_str(), 0700) == 0);
  Spool spool{path.c_str()};
  REQUIRE(append(spool, 0));
  std::uint64_t next = 0;
  const auto pass = [&](std::uint64_t blocks) {
    for (const std::uint64_t end = next + blocks; next < end; ++next) {
      REQUIRE(append(spool, next + 1));
      REQUIRE(begins_with(spool, next));
      spool.consume(kBlock);
    }
  };
  pass(100);
  CHECK(size_of(path) > 2 * kMiB);
  CHECK(Spool::pending_in(path.c_str()) == kBlock);
  REQUIRE(::rmdir(in_the_way.c_str()) == 0);
  pass(100);
  CHECK(size_of(path) <= 2 * kMiB);
  CHECK(Spool::pending_in(path.c_str()) == kBlock);
}

TEST_CASE("a spool that was begun on a full disk is whole once there is room") {
  const TemporaryDirectory directory;
  const std::string path = directory / "spool.out";
  const rlim_t room = GENERATE(0u, 4u, 12u, 16u);  // for nothing, half a header, all of it
  Spool spool{path.c_str()};
  const auto [appended, error, left] = [&] {
    const FullDisk disk{room};  // nothing is reported in here: that may go to a file too
    const bool done = append(spool, 0);
    const int because = errno;
    return std::tuple{done, because, Spool::pending_in(path.c_str())};
  }();
  CHECK_FALSE(appended);
  CHECK(error == EFBIG);
  CHECK(left == 0);
  CHECK(spool.pending() == 0);
  CHECK(std::filesystem::exists(path) == (room == 16));
  REQUIRE(append(spool, 0));
  REQUIRE(append(spool, 1));
  // The writer is killed.
  Spool next{path.c_str()};
  REQUIRE(next.restore());
  REQUIRE(next.pending() == 2 * kBlock);
  CHECK(begins_with(next, 0));
  next.consume(kBlock);
  CHECK(begins_with(next, 1));
}

TEST_CASE("half a file that was to take the spool's place is no part of it, and goes") {
  const TemporaryDirectory directory;
  const std::string path = directory / "spool.out";
  {
    Spool spool{path.c_str()};
    REQUIRE(append(spool, 0));
    REQUIRE(append(spool, 1));
    spool.consume(kBlock);
  }
  std::ofstream{path + ".new"} << "half";
  Spool next{path.c_str()};
  REQUIRE(next.restore());
  CHECK(next.pending() == kBlock);
  CHECK(begins_with(next, 1));
  CHECK_FALSE(std::filesystem::exists(path + ".new"));
}

// The writer spends about half of its time on writing the file anew.
TEST_CASE("a spool whose writer is killed at any moment loses and repeats nothing") {
  const TemporaryDirectory directory;
  struct Progress {
    std::atomic<std::uint64_t> appended;
    std::atomic<std::uint64_t> consumed;
    std::atomic<bool> failed;
  };
  void* const memory =
      ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  for (std::uint64_t round = 0; round < 20; ++round) {
    const std::string path = directory / ("spool." + std::to_string(round));
    Progress& progress = *new (memory) Progress{};
    const pid_t writer = ::fork();
    REQUIRE(writer >= 0);
    if (writer == 0) {  // plain calls only, as in the monitor
      ::alarm(60);      // whatever becomes of the test
      Spool spool{path.c_str()};
      for (std::uint64_t i = 0;; ++i) {
        if (!append(spool, i)) progress.failed = true;
        progress.appended = i + 1;
        if (i < 64) continue;
        spool.consume(kBlock);
        progress.consumed = i + 1 - 64;
      }
    }
    const bool reached =
        eventually([&] { return progress.consumed >= 100 + round * 7 || progress.failed; });
    REQUIRE(::kill(writer, SIGKILL) == 0);
    REQUIRE(::waitpid(writer, nullptr, 0) == writer);
    REQUIRE(reached);
    REQUIRE_FALSE(progress.failed);
    Spool spool{path.c_str()};
    REQUIRE(spool.restore());
    // The step that the writer died in is done, or not.
    std::uint64_t next = progress.consumed;
    if (!begins_with(spool, next)) ++next;
    const std::uint64_t end = next + spool.pending() / kBlock;
    CHECK(end >= progress.appended);
    CHECK(end <= progress.appended + 1);
    for (; next < end; ++next) {
      REQUIRE(begins_with(spool, next));
      spool.consume(kBlock);
    }
    REQUIRE(::unlink(path.c_str()) == 0);
  }
  ::munmap(memory, sizeof(Progress));
}
