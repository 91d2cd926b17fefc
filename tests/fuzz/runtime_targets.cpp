// What engines print, what conmon logs, and environments on their way to podman.

#include <rapidjson/document.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/apple_environment.hpp"
#include "runtime/apple_errors.hpp"
#include "runtime/apple_json.hpp"
#include "runtime/apple_labels.hpp"
#include "runtime/apple_networks.hpp"
#include "runtime/apple_words.hpp"
#include "runtime/doctor.hpp"
#include "runtime/doctor_checks.hpp"
#include "runtime/doctor_report.hpp"
#include "runtime/k8s_log.hpp"
#include "runtime/podman_argv.hpp"
#include "runtime/podman_authfile.hpp"
#include "runtime/podman_errors.hpp"
#include "runtime/podman_files.hpp"
#include "runtime/podman_json.hpp"
#include "targets.hpp"

namespace ndc::runtime {
namespace {

void podman_json(std::string_view input) {
  if (const auto container = parse_container(input)) {
    fuzz::require(container->id.size() == 64, "a container has a whole id");
    fuzz::require(container->exit_code >= -1 && container->exit_code <= 255,
                  "an exit code is one, or not known");
    fuzz::require(container->pid >= 0 && container->conmon_pid >= 0, "a pid names one process");
  }
  if (const auto image = parse_image(input)) is_for_platform(*image, "linux/amd64");
  if (const auto info = parse_info(input)) {
    fuzz::require(valid_utf8(info->version) == info->version, "an attribute is valid UTF-8");
  }
  parse_list(input);
  parse_rfc3339(input);
}

void podman_text(std::string_view input) {
  const std::string reason = podman_reason(input);
  fuzz::require(reason.size() <= 600, "a reason is short");
  fuzz::require(valid_utf8(reason) == reason, "a reason is valid UTF-8");
  fuzz::require(reason.find('\n') == std::string::npos, "a reason is one line");
  fuzz::require(!podman_error("a", "b", Exited{125}, input).cause.empty(), "an error has a cause");
  const std::string image{input.substr(0, 64)};
  fuzz::require(podman_error("a", image, Exited{125}, input).cause == reason || reason.empty(),
                "an image's name changes no reason");
  for (const std::string& id : {holder_of_name(input), parse_container_id(input)}) {
    fuzz::require(id.empty() || (is_container_id(id) && input.find(id) != std::string_view::npos),
                  "what is an argument of podman's is an id that it named");
  }
  fuzz::require(parse_process_id(input) >= 0, "a pid names one process");
  says_no_such_container(input);
  says_made_already(input);
  says_short_name_unknown(input);
  says_name_in_use(input);
  says_has_dependents(input);
  says_stopped_meanwhile(input);
}

// The first byte says where the log is cut.
void k8s_log(std::string_view input) {
  if (input.empty()) return;
  const std::size_t cut = static_cast<unsigned char>(input.front());
  const std::string_view log = input.substr(1);
  const auto whole = decode_k8s_log(log, false);
  fuzz::require(whole.consumed <= log.size(), "no more is read than there is");
  const auto head = decode_k8s_log(log.substr(0, cut), false);
  const auto tail = decode_k8s_log(log.substr(head.consumed), false);
  fuzz::require(head.text + tail.text == whole.text, "a cut loses nothing and repeats nothing");
  fuzz::require(head.consumed + tail.consumed == whole.consumed, "a cut changes no record");
  decode_k8s_log(log, true);
}

// Entries with a NUL byte in between, "NAME=value".
void environment(std::string_view input) {
  TaskSpec spec;
  TaskConfig config;
  while (!input.empty()) {
    const std::size_t end = input.find('\0');
    const std::string entry{input.substr(0, end)};
    const std::size_t equals = entry.find('=');
    if (equals != std::string::npos) spec.env[entry.substr(0, equals)] = entry.substr(equals + 1);
    if (end == std::string_view::npos) break;
    input.remove_prefix(end + 1);
  }
  const auto check = [&spec](const auto& made) {
    if (!made) return;
    std::size_t lines = 0;
    for (const char c : made->file) lines += c == '\n' ? 1 : 0;
    fuzz::require(lines + made->names.size() == spec.env.size(), "each variable goes one way");
    for (const std::string& name : made->names) {
      fuzz::require(spec.env.count(name) == 1, "a name has no value in it");
    }
  };
  check(podman_environment(spec, config));
  check(apple_environment(spec.env));
}

void apple_json(std::string_view input) {
  if (const auto containers = parse_apple_containers(input)) {
    for (const AppleContainer& container : *containers) {
      fuzz::require(!container.id.empty(), "a container has an id");
    }
  }
  if (const auto images = parse_apple_images(input)) {
    for (const AppleImage& image : *images) variant_for(image, "linux/arm64/v8");
  }
  parse_apple_stats(input);
  parse_apple_versions(input);
  parse_apple_status(input);
  parse_apple_logins(input);
  if (const auto networks = parse_apple_networks(input)) {
    for (const AppleNetwork& network : *networks) {
      fuzz::require(!network.name.empty(), "a network has a name");
      fuzz::require(!may_be_allocation_network(network.name) ||
                        network.name.find_first_of("/=,. ") == std::string::npos,
                    "what is deleted is one network");
    }
  }
}

void apple_label(std::string_view input) {
  const std::string label = encode_label(input);
  fuzz::require(label.find('=') == std::string::npos, "no version rejects a label");
  fuzz::require(decode_label(label) == input, "a label comes back as it was");
  fuzz::require(decode_label(input).size() <= input.size(), "nothing is made up");
}

void apple_text(std::string_view input) {
  const std::string version = apple_version_in(input);
  fuzz::require(version.find_first_not_of("0123456789.") == std::string::npos,
                "a version is numbers");
  const std::string reason = apple_reason(input);
  fuzz::require(reason.size() <= 1800, "a reason is short");  // 600 bytes, none of them UTF-8
  fuzz::require(valid_utf8(reason) == reason, "a reason is valid UTF-8");
  fuzz::require(reason.find('\n') == std::string::npos, "a reason is one line");
  const Error error = apple_error("a", "b", Exited{1}, input);
  fuzz::require(!error.cause.empty(), "an error has a cause");
  fuzz::require(!says_daemon_is_down(input) || error.code == ErrorCode::kRuntimeUnavailable,
                "without its service the engine is to blame, whatever else is said");
  fuzz::require(!ends_with_cli_failure(input) || ends_like_cli_error(input),
                "a failure of the CLI looks like one");
  says_container_not_found(input, "web");
  says_image_not_found(input);
  says_already_exists(input);
  says_not_running(input);
  says_daemon_timed_out(input);
  const std::string words = apple_words(input);
  fuzz::require(
      std::count(words.begin(), words.end(), '\n') == std::count(input.begin(), input.end(), '\n'),
      "names are cut out line by line");
}

// Words with a NUL byte in between.
void doctor_options(std::string_view input) {
  std::vector<std::string> words;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find('\0'), input.size());
    words.emplace_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  const auto options = parse_doctor_options(words);
  if (!options) return fuzz::require(!options.error().message().empty(), "an error has words");
  for (const std::string& path :
       {options->config.podman_path, options->config.container_path, options->config.state_dir}) {
    fuzz::require(path.empty() || path.starts_with('/'), "a path is absolute");
  }
}

void doctor_answers(std::string_view input) {
  doctor_options(input);
  Findings all{{"any", Verdict::kWarning, std::string{input}, std::string{input}}};
  for (const Findings& some :
       {podman_info_findings(input), apple_version_findings(input),
        apple_status_findings({Exited{1}, std::string{input}, std::string{input}, false}),
        macos_findings(input, input)}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  const std::string json = findings_json(all);
  rapidjson::Document document;
  document.Parse<rapidjson::kParseValidateEncodingFlag>(json.data(), json.size());
  fuzz::require(!document.HasParseError(), "the doctor's JSON is JSON");
  fuzz::require(document["ok"].GetBool() == tasks_can_run(all), "both say whether tasks can run");
  fuzz::require(document["checks"].Size() == all.size(), "no finding is left out");
  for (const char c : findings_table(all)) {
    const auto byte = static_cast<unsigned char>(c);
    fuzz::require(c == '\n' || (byte >= 0x20 && byte != 0x7f), "a table is harmless to a terminal");
  }
}

}  // namespace
}  // namespace ndc::runtime

namespace ndc::fuzz {

std::vector<Target> runtime_targets() {
  return {{"podman_json", runtime::podman_json}, {"podman_text", runtime::podman_text},
          {"k8s_log", runtime::k8s_log},         {"environment", runtime::environment},
          {"apple_json", runtime::apple_json},   {"apple_label", runtime::apple_label},
          {"apple_text", runtime::apple_text},   {"doctor", runtime::doctor_answers}};
}

std::vector<Target> all_targets() {
  std::vector<Target> out = model_targets();
  for (const Target& target : runtime_targets()) out.push_back(target);
  for (const Target& target : state_targets()) out.push_back(target);
  for (const Target& target : linux_targets()) out.push_back(target);
#ifdef NDC_FUZZ_WIRE
  for (const Target& target : wire_targets()) out.push_back(target);
#endif
  return out;
}

}  // namespace ndc::fuzz
