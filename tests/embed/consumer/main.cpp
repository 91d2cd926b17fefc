// Runs a task over the stand-in for Apple's CLI, whose path is the only argument. Its exit code
// comes by way of the task's monitor, which is this program again.

#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <variant>

#include <nomad_driver_container.hpp>

namespace {

using namespace std::chrono_literals;

constexpr auto kLong = 40s;
constexpr int kExitCode = 7;

bool check(bool ok, const char* what, const std::string& why = {}) {
  std::printf("%s  %s %s\n", ok ? "ok  " : "FAIL", what, why.c_str());
  return ok;
}

template <class T>
std::string why_not(const ndc::Expected<T>& result) {
  return result ? "" : result.error().message();
}

bool run_task(const std::string& standin, const std::string& directory) {
  std::filesystem::create_symlink(standin, directory + "/container");
  std::ofstream{directory + "/standin.env"} << "NDC_STANDIN_STATE=" << directory << "/cli\n";
  ndc::PluginConfig config;
  config.runtime = ndc::RuntimeKind::kApple;
  config.container_path = directory + "/container";
  config.state_dir = directory + "/state";
  const auto runtime =
      ndc::runtime::make_runtime(config, std::make_shared<ndc::runtime::EventLoop>());
  if (!check(runtime.has_value(), "the runtime is made", why_not(runtime))) return false;

  ndc::embed::EmbeddedDriver driver{*runtime, config};
  auto task = ndc::embed::EmbeddedDriver::task("web", "demo:1");
  auto& job = std::get<ndc::Value::Map>(task.config.data);
  job["command"] = ndc::Value{std::string{"/bin/sh"}};
  job["args"] = ndc::Value{ndc::Value::List{ndc::Value{std::string{"-c"}},
                                            ndc::Value{"exit " + std::to_string(kExitCode)}}};
  const auto started = driver.start(task, kLong);
  if (!check(started.has_value(), "the task starts", why_not(started))) return false;
  const auto exit = driver.wait(task.id, kLong);
  bool good = check(exit.has_value(), "it ends", why_not(exit));
  if (exit) {
    const auto* code = std::get_if<ndc::Exited>(&exit->status);
    good = check(code != nullptr && code->code == kExitCode, "its exit code is its own");
  }
  const auto removed = driver.destroy(task.id, kLong);
  return check(removed.has_value(), "it is removed", why_not(removed)) && good;
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto code = ndc::runtime::run_role(argc, argv)) return *code;
  if (argc != 2) return 2;
  std::string directory = (std::filesystem::temp_directory_path() / "ndc-consumer-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return 2;
  const bool good = run_task(argv[1], directory);
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return good ? 0 : 1;
}
