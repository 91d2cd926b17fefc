// Every target over its corpus, and over what a cut or a changed byte makes of each file there.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "support/catch.hpp"
#include "support/places.hpp"
#include "targets.hpp"

namespace ndc::fuzz {
namespace {

std::string contents(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

TEST_CASE("every decoder survives its corpus, also cut short and with bytes changed") {
  for (const Target& target : all_targets()) {
    CAPTURE(target.name);
    target.run("");
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator{
             std::filesystem::path{ndc::test::places::corpus} / target.name}) {
      const std::string whole = contents(entry.path());
      ++files;
      target.run(whole);
      const std::size_t step = std::max<std::size_t>(1, whole.size() / 200);
      for (std::size_t at = 0; at < whole.size(); at += step) {
        target.run(std::string_view{whole}.substr(0, at));
        std::string changed = whole;
        for (const char byte : {'\0', '\xFF', '"', '-', ':'}) {
          changed[at] = byte;
          target.run(changed);
        }
      }
    }
    CHECK(files > 0);
  }
}

}  // namespace
}  // namespace ndc::fuzz
