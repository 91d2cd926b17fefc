#include "runtime/doctor.hpp"

#include <cstdio>
#include <future>
#include <utility>

#include <spdlog/spdlog.h>

#include "model/duration.hpp"
#include "runtime/doctor_checks.hpp"

namespace ndc::runtime {
namespace {

constexpr const char* kUsage =
    "usage: nomad-driver-container doctor [options]\n"
    "\n"
    "Checks whether tasks can run on this host and prints what was found with the cure for what\n"
    "is in the way. Exit code 0: tasks can run; 1: they cannot; 2: wrong options.\n"
    "\n"
    "  --runtime NAME         auto, podman or apple (default: auto)\n"
    "  --podman-path FILE     as podman_path in the plugin's configuration\n"
    "  --container-path FILE  as container_path\n"
    "  --oci-runtime NAME     as oci_runtime\n"
    "  --state-dir DIR        as state_dir\n"
    "  --run IMAGE            also start and remove a container from this image\n"
    "  --timeout DURATION     how long the runtime may take for an answer (default: 20s)\n"
    "  --json                 print JSON instead of a table\n";

Error wrong_option(const std::string& word, std::string cause) {
  return {ErrorCode::kInvalidConfig, "read option", word, std::move(cause),
          "see nomad-driver-container doctor --help"};
}

Expected<void> set_option(DoctorOptions& options, const std::string& name,
                          const std::string& value) {
  PluginConfig& config = options.config;
  const auto path = [&](std::string& field) -> Expected<void> {
    if (!value.starts_with('/')) return fail(wrong_option(name, "expected an absolute path"));
    field = value;
    return {};
  };
  if (value.empty()) return fail(wrong_option(name, "it has no value"));
  if (name == "--podman-path") return path(config.podman_path);
  if (name == "--container-path") return path(config.container_path);
  if (name == "--state-dir") return path(config.state_dir);
  if (name == "--oci-runtime") {
    config.oci_runtime = value;
  } else if (name == "--run") {
    options.image = value;
  } else if (name == "--timeout") {
    auto timeout = parse_duration(value);
    if (!timeout) return fail(std::move(timeout.error()));
    options.timeout = *timeout;
  } else if (value == "auto" || value == "podman" || value == "apple") {  // --runtime
    config.runtime = value == "podman"  ? RuntimeKind::kPodman
                     : value == "apple" ? RuntimeKind::kApple
                                        : RuntimeKind::kAuto;
  } else {
    return fail(wrong_option(name, quoted(value) + " is none of auto, podman, apple"));
  }
  return {};
}

bool takes_value(const std::string& name) {
  for (const char* known : {"--runtime", "--podman-path", "--container-path", "--oci-runtime",
                            "--state-dir", "--run", "--timeout"}) {
    if (name == known) return true;
  }
  return false;
}

RuntimeKind chosen(RuntimeKind kind) {
#ifdef __APPLE__
  return kind == RuntimeKind::kAuto ? RuntimeKind::kApple : kind;
#else
  return kind == RuntimeKind::kAuto ? RuntimeKind::kPodman : kind;
#endif
}

Findings examine(const DoctorOptions& options) {
  const auto loop = std::make_shared<EventLoop>();
  Findings out;
  const auto add = [&out](Findings more) {
    for (Finding& finding : more) out.push_back(std::move(finding));
  };
  if (chosen(options.config.runtime) == RuntimeKind::kPodman) {
    add(podman_host_findings(options));
    add(podman_findings(*loop, options));
  } else {
    add(apple_findings(*loop, options));
  }
  // Where something is known to be missing a trial would only say so again, less clearly.
  if (!options.image.empty() && tasks_can_run(out)) add(trial_findings(loop, options));
  return out;
}

}  // namespace

Expected<DoctorOptions> parse_doctor_options(const std::vector<std::string>& words) {
  DoctorOptions options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (word == "--json") {
      options.json = true;
    } else if (word == "--help" || word == "-h") {
      options.help = true;
    } else if (!takes_value(name)) {
      return fail(wrong_option(word, "there is no such option"));
    } else if (equals != std::string::npos) {
      if (auto set = set_option(options, name, word.substr(equals + 1)); !set) {
        return fail(std::move(set.error()));
      }
    } else {
      const std::string value = i + 1 < words.size() ? words[++i] : "";
      if (auto set = set_option(options, name, value); !set) return fail(std::move(set.error()));
    }
  }
  return options;
}

int doctor(const std::vector<std::string>& words) {
  const auto options = parse_doctor_options(words);
  if (!options) {
    std::fprintf(stderr, "error: %s\n", options.error().message().c_str());
    return 2;
  }
  if (options->help) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  spdlog::set_level(spdlog::level::off);  // what matters is in the findings
  const Findings findings = examine(*options);
  std::fputs((options->json ? findings_json(findings) : findings_table(findings)).c_str(), stdout);
  return tasks_can_run(findings) ? 0 : 1;
}

Expected<CommandResult> run_and_wait(EventLoop& loop, std::vector<std::string> argv,
                                     std::chrono::nanoseconds timeout,
                                     std::vector<std::string> environment) {
  Command command;
  command.argv = std::move(argv);
  command.environment = std::move(environment);
  command.timeout = timeout;
  auto answer = std::make_shared<std::promise<Expected<CommandResult>>>();
  auto future = answer->get_future();
  run_command(loop, std::move(command),
              [answer](Expected<CommandResult> result) { answer->set_value(std::move(result)); });
  return future.get();
}

}  // namespace ndc::runtime
