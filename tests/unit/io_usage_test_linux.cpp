// Block I/O, network and pids: texts of the kernel's, and directories that look like its.

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../runtime/machine.hpp"
#include "runtime/io_usage_linux.hpp"

namespace ndc::runtime {
namespace {

TEST_CASE("block I/O is summed over all devices, in both hierarchies") {
  CHECK(parse_io_stat("8:0 rbytes=1 wbytes=2 rios=9 wios=9 dbytes=9 dios=9\n"
                      "253:1 rbytes=10 wbytes=20\n") == ByteCounts{11, 22});
  CHECK(parse_blkio("8:0 Read 1\n8:0 Write 2\n8:0 Sync 9\n8:0 Total 3\n"
                    "253:1 Read 10\n253:1 Write 20\nTotal 33\n") == ByteCounts{11, 22});
}

TEST_CASE("network traffic is summed over all interfaces but loopback") {
  CHECK(parse_net_dev("Inter-|   Receive                            |  Transmit\n"
                      " face |bytes    packets errs drop fifo frame compressed multicast|bytes\n"
                      "    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n"
                      "  eth0: 100 1 2 3 4 5 6 7 200 1 0 0 0 0 0 0\n"
                      "  eth1:10 1 2 3 4 5 6 7 20 1 0 0 0 0 0 0\n") == ByteCounts{110, 220});
}

TEST_CASE("texts that are none of the kernel's count nothing") {
  for (const char* wrong : {"", "\n\n", ":", "a: b", "rbytes=", "8:0 Read", "8:0 Read -1",
                            "8:0 rbytes=99999999999999999999", "eth0:", "\xFF: \xFF"}) {
    CAPTURE(wrong);
    CHECK(parse_io_stat(wrong) == ByteCounts{});
    CHECK(parse_blkio(wrong) == ByteCounts{});
    CHECK(parse_net_dev(wrong) == ByteCounts{});
  }
}

TEST_CASE("what there is is read, what is missing stays empty") {
  const test::TemporaryDirectory tree;
  const auto put = [&](const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path{tree / path}.parent_path());
    std::ofstream{tree / path} << text;
  };
  put("u/pids.current", "7\n");
  put("u/io.stat", "8:0 rbytes=1 wbytes=2\n");
  put("b/blkio.throttle.io_service_bytes", "8:0 Read 3\n8:0 Write 4\n");
  put("r/blkio.throttle.io_service_bytes_recursive", "8:0 Read 5\n8:0 Write 6\n");
  put("r/blkio.throttle.io_service_bytes", "8:0 Read 1\n");
  const auto read = [](const CgroupFiles& files) {
    UsageSample sample;
    read_io_usage(files, 0, {}, sample);
    return sample;
  };

  const UsageSample v2 = read({tree / "u", {}, {}, {}});
  CHECK(v2.pids == 7);
  CHECK(v2.block_read == 1);
  CHECK(v2.block_written == 2);
  CHECK_FALSE(v2.network_received.has_value());
  CHECK(read({{}, {}, {}, {}, tree / "b", {}}).block_written == 4);
  CHECK(read({{}, {}, {}, {}, tree / "r", tree / "u"}).block_read == 5);
  const UsageSample none = read({tree / "none", {}, {}, {}});
  CHECK_FALSE(none.pids.has_value());
  CHECK_FALSE(none.block_read.has_value());
}

TEST_CASE("the network of a process that is not the container's is not read") {
  UsageSample sample;
  read_io_usage({}, ::getpid(), std::string(64, 'a'), sample);
  CHECK_FALSE(sample.network_received.has_value());
}

}  // namespace
}  // namespace ndc::runtime
