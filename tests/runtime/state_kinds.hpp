// The kinds of files that the driver or a monitor reads back from disk: what is in one, how it is
// read, and what may be read of one that is not as it was written.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include "runtime/exit_record.hpp"
#include "runtime/machine.hpp"

namespace ndc::test {

inline void put(const std::string& path, const std::string& bytes) {
  std::ofstream{path, std::ios::binary | std::ios::trunc} << bytes;
}

inline std::string contents(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

// What is logged for as long as it lives. Made before any thread that logs.
class Said {
 public:
  Said() : before_{spdlog::default_logger()} {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "said", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
  }
  Said(const Said&) = delete;
  Said& operator=(const Said&) = delete;
  ~Said() { spdlog::set_default_logger(before_); }
  bool has(const std::string& part) const { return contains(text_.str(), part); }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
};

using Seen = std::optional<std::string>;
using May = std::function<bool(const std::string&)>;

struct Kind {
  std::string name;
  std::string path;
  std::string whole;           // its bytes
  std::string good;            // what is read of them
  std::function<Seen()> read;  // nullopt: nothing of it is believed
  // What else may be read where it was cut off, or where a byte is another one.
  May of_cut = [](const std::string&) { return false; };
  May of_damaged = [](const std::string&) { return false; };
  std::vector<std::pair<std::string, Seen>> others;  // what other versions write
  Seen of_another_user = std::nullopt;
  bool is_file = true;  // of ours: else Nomad keeps the bytes
};

// What it says, in one text.
std::string told(const runtime::ExitRecord& record);

// All kinds in one directory. The first is the exit record.
struct State {
  Said said;
  TemporaryDirectory directory;
  std::string path = directory / "state";
  std::unique_ptr<runtime::EventLoop> loop = std::make_unique<runtime::EventLoop>();
  std::vector<Kind> kinds;

  State();
};

}  // namespace ndc::test
