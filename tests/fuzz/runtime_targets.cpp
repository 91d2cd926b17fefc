// What engines print, what conmon logs, and environments on their way to podman.

#include <string>

#include "runtime/apple_json.hpp"
#include "runtime/k8s_log.hpp"
#include "runtime/podman_argv.hpp"
#include "runtime/podman_authfile.hpp"
#include "runtime/podman_errors.hpp"
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
  const auto made = podman_environment(spec, config);
  if (!made) return;
  std::size_t lines = 0;
  for (const char c : made->file) lines += c == '\n' ? 1 : 0;
  fuzz::require(lines + made->names.size() == spec.env.size(), "each variable goes one way");
  for (const std::string& name : made->names) {
    fuzz::require(spec.env.count(name) == 1, "a name has no value in it");
  }
}

void apple_json(std::string_view input) {
  parse_apple_containers(input);
  parse_apple_images(input);
  parse_apple_stats(input);
  parse_apple_versions(input);
  parse_apple_status(input);
  parse_apple_logins(input);
}

}  // namespace
}  // namespace ndc::runtime

namespace ndc::fuzz {

std::vector<Target> runtime_targets() {
  return {{"podman_json", runtime::podman_json},
          {"podman_text", runtime::podman_text},
          {"k8s_log", runtime::k8s_log},
          {"environment", runtime::environment},
          {"apple_json", runtime::apple_json}};
}

std::vector<Target> all_targets() {
  std::vector<Target> out = model_targets();
  for (const Target& target : runtime_targets()) out.push_back(target);
  for (const Target& target : linux_targets()) out.push_back(target);
  return out;
}

}  // namespace ndc::fuzz
