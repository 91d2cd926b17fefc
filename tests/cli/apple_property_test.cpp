// Random tasks: whatever the driver does not refuse, the CLI's grammar must accept, in every
// version, and every setting must have its effect in the container that comes of it.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/apple_effect.hpp"
#include "cli/random_task.hpp"
#include "runtime/apple_call.hpp"
#include "standin/check.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;

namespace {

// What the CLI inherits of the task's environment, for as long as one argv is judged.
class Inherited {
 public:
  explicit Inherited(const AppleEnvironment& environment) : names_{environment.names} {
    for (const std::string& entry : environment.own_entries) {
      const std::size_t equals = entry.find('=');
      ::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
    }
  }
  Inherited(const Inherited&) = delete;
  Inherited& operator=(const Inherited&) = delete;
  ~Inherited() {
    for (const std::string& name : names_) ::unsetenv(name.c_str());
  }

 private:
  const std::vector<std::string>& names_;
};

}  // namespace

TEST_CASE("every argv of create is accepted by its version and means the task") {
  const unsigned seed = random_seed();
  const Places places;
  const TemporaryDirectory directory;
  const std::string env_file = directory / "environment";
  for (const char* text : kAppleVersions) {
    Generator generator{seed};
    const auto number = parse_version(text);
    const standin::Version version = *standin::parse_version(text);
    REQUIRE(number);
    int accepted = 0;
    int refused = 0;
    while (accepted < kInputs) {
      RandomTask task{generator, places, *number};
      const auto arguments = task.build(env_file);
      if (!arguments) {
        REQUIRE(++refused < 20 * kInputs);
        continue;
      }
      std::filesystem::remove(env_file);  // rewriting it would wait for the disk
      std::ofstream{env_file} << arguments->environment.file;
      const AppleCall call = AppleCall::create(*arguments);
      const Inherited inherited{arguments->environment};
      const auto verdict = standin::check(version, call.words());
      if (verdict.code != 0) {
        FAIL(text << ": " << verdict.code << " " << verdict.text << joined(call.words()));
      }
      if (const auto wrong = wrong_effects(task.request, verdict.text); !wrong.empty()) {
        FAIL(text << "\n" << wrong << joined(call.words()));
      }
      ++accepted;
    }
    CHECK(accepted == kInputs);
  }
}
