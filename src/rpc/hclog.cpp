#include "rpc/hclog.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include "model/error.hpp"

namespace ndc::rpc {
namespace {

// JSON may spend six bytes on one of the message (\u0001), so the line is checked, too.
constexpr std::size_t kMaxLine = 60 * 1024;

const char* level_name(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "trace";
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
    case spdlog::level::critical:
      return "error";
    default:
      return "info";
  }
}

// Exactly six fractional digits: with any other number the client takes the line for plain text.
std::string timestamp(std::chrono::system_clock::time_point at) {
  const auto since = std::chrono::floor<std::chrono::microseconds>(at.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const auto clock = static_cast<std::time_t>(seconds.count());
  std::tm utc{};
  gmtime_r(&clock, &utc);
  char date[40];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
  char text[64];
  std::snprintf(text, sizeof text, "%s.%06dZ", date, static_cast<int>((since - seconds).count()));
  return text;
}

std::string clipped(std::string_view message, std::size_t limit) {
  if (message.size() <= limit) return valid_utf8(message);
  while (limit > 0 && (static_cast<unsigned char>(message[limit]) & 0xC0U) == 0x80U) --limit;
  return valid_utf8(message.substr(0, limit)) + " … (" + std::to_string(message.size() - limit) +
         " bytes cut)";
}

std::string line_of(spdlog::level::level_enum level, std::string_view module,
                    const std::string& message, std::chrono::system_clock::time_point at) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer{buffer};
  const auto put = [&](const char* key, std::string_view value) {
    writer.Key(key);
    writer.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  };
  writer.StartObject();
  put("@level", level_name(level));
  put("@message", message);
  put("@timestamp", timestamp(at));
  put("@module", module.empty() ? "driver" : valid_utf8(module));
  writer.EndObject();
  return std::string{buffer.GetString(), buffer.GetSize()} + "\n";
}

class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& record) override {
    const std::string line =
        hclog_line(record.level, {record.logger_name.data(), record.logger_name.size()},
                   {record.payload.data(), record.payload.size()}, record.time);
    // After the agent's death nobody reads: EPIPE. Log data is then dropped, as it is when the
    // pipe takes no more (EAGAIN). The rest of a partial write is dropped, too.
    while (::write(STDERR_FILENO, line.data(), line.size()) < 0 && errno == EINTR) {
    }
  }
  void flush_() override {}
};

}  // namespace

std::string hclog_line(spdlog::level::level_enum level, std::string_view module,
                       std::string_view message, std::chrono::system_clock::time_point at) {
  if (module.size() > 256) module = module.substr(0, 256);
  std::string line = line_of(level, module, clipped(message, kMaxLogMessage), at);
  if (line.size() > kMaxLine) line = line_of(level, module, clipped(message, kMaxLine / 8), at);
  return line;
}

void install_hclog() {
  auto logger = std::make_shared<spdlog::logger>("driver", std::make_shared<StderrSink>());
  logger->set_level(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace ndc::rpc
