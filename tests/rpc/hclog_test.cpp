#include "support/catch.hpp"

#include <rapidjson/document.h>

#include "model/error.hpp"
#include "rpc/hclog.hpp"

using ndc::rpc::hclog_line;
using namespace std::chrono_literals;

namespace {

const std::chrono::system_clock::time_point kAt{1767323045s + 1234us};

std::string field(const std::string& line, const char* key) {
  REQUIRE(line.back() == '\n');
  REQUIRE(line.find('\n') == line.size() - 1);
  rapidjson::Document document;
  document.Parse(line.c_str());
  REQUIRE_FALSE(document.HasParseError());
  REQUIRE(document[key].IsString());
  return document[key].GetString();
}

}  // namespace

TEST_CASE("a log line is what Nomad's client parses") {
  const auto line = hclog_line(spdlog::level::info, "driver", "hello \"you\"\n", kAt);
  CHECK(field(line, "@level") == "info");
  CHECK(field(line, "@message") == "hello \"you\"\n");
  CHECK(field(line, "@timestamp") == "2026-01-02T03:04:05.001234Z");
  CHECK(field(line, "@module") == "driver");
}

TEST_CASE("levels map to Nomad's five") {
  const auto level = [](spdlog::level::level_enum l) {
    return field(hclog_line(l, "", "", kAt), "@level");
  };
  CHECK(level(spdlog::level::trace) == "trace");
  CHECK(level(spdlog::level::debug) == "debug");
  CHECK(level(spdlog::level::warn) == "warn");
  CHECK(level(spdlog::level::err) == "error");
  CHECK(level(spdlog::level::critical) == "error");
}

TEST_CASE("whatever is logged, the line is valid UTF-8 and below Nomad's limit") {
  for (const std::string& message :
       {std::string(100'000, 'x'), std::string(100'000, '\x01'), std::string(100'000, '\xff'),
        std::string(29'999, 'x') + std::string(50'000, '\n')}) {
    const auto line = hclog_line(spdlog::level::info, "m", message, kAt);
    CHECK(line.size() < 60U * 1024U);
    CHECK(ndc::valid_utf8(line) == line);
    CHECK(field(line, "@message").find("bytes cut") != std::string::npos);
  }
  CHECK(field(hclog_line(spdlog::level::info, "\xfe", "\xff", kAt), "@message") == "\xEF\xBF\xBD");
}
