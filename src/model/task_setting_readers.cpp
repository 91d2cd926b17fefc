#include "model/task_setting_readers.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <utility>

#include "model/byte_size.hpp"
#include "model/image_reference.hpp"
#include "model/linux_caps.hpp"
#include "model/settings_reader.hpp"
#include "model/signals.hpp"

namespace ndc {
namespace {

bool ordinary(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool only(std::string_view text, std::string_view also) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return ordinary(c) || also.find(c) != std::string_view::npos; });
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
}

namespace {

// Where an engine would look instead of in a registry: for the most part files of the host, which
// are for `load` and the operator's volumes policy.
bool names_a_transport(std::string_view image) {
  constexpr std::string_view kTransports[] = {
      "dir:",           "oci:",     "docker-archive:",     "oci-archive:",
      "docker-daemon:", "tarball:", "containers-storage:", "ostree:",
      "sif:",           "atomic:"};
  return std::any_of(std::begin(kTransports), std::end(kTransports),
                     [&](std::string_view transport) { return image.starts_with(transport); });
}

}  // namespace

Expected<std::string> read_image(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return text;
  const std::string_view name = without_transport(*text);
  if (names_a_transport(name)) {
    return fail(invalid_setting(key, quoted(*text) + " is not in a registry",
                                "name the image, and its archive with load"));
  }
  if (name.empty() || name.front() == '-' || has_control_character(name) ||
      name.find(' ') != std::string_view::npos) {
    return fail(invalid_setting(key, quoted(*text) + " is no image reference",
                                "write for example \"docker.io/library/redis:7\""));
  }
  return text;
}

// Strings that end up as one word of a command line: anything but NUL and line breaks.
Expected<std::optional<std::string>> read_optional_string(std::string_view key,
                                                          const Value& value) {
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  if (text->find('\0') != std::string::npos) {
    return fail(invalid_setting(key, "it contains a NUL byte"));
  }
  return std::optional<std::string>{std::move(*text)};
}

Expected<std::optional<std::string>> read_command(std::string_view key, const Value& value) {
  auto text = read_optional_string(key, value);
  if (text && (*text)->empty()) return std::optional<std::string>{};
  return text;
}

Expected<std::optional<std::string>> read_optional_name(std::string_view key, const Value& value) {
  auto text = read_optional_string(key, value);
  if (!text || (*text)->empty()) return text ? std::optional<std::string>{} : text;
  if (has_control_character(**text) || (*text)->front() == '-') {
    return fail(invalid_setting(key, quoted(**text) + " is not valid"));
  }
  return text;
}

Expected<std::optional<std::string>> read_container_path(std::string_view key, const Value& value) {
  auto text = read_optional_name(key, value);
  if (text && *text && (*text)->front() != '/') {
    return fail(
        invalid_setting(key, "expected an absolute path in the container, found " + quoted(**text),
                        "write for example \"/srv/app\""));
  }
  return text;
}

namespace {

// A word of a command line ends at its first NUL byte: what is behind it would be lost in silence.
Expected<std::vector<std::string>> whole_words(std::string_view key,
                                               Expected<std::vector<std::string>> words) {
  if (!words) return words;
  std::vector<Error> errors;
  for (std::size_t i = 0; i < words->size(); ++i) {
    if ((*words)[i].find('\0') == std::string::npos) continue;
    errors.push_back(invalid_setting(std::string{key} + "[" + std::to_string(i) + "]",
                                     "it contains a NUL byte"));
  }
  return unless(errors, std::move(*words));
}

}  // namespace

Expected<std::vector<std::string>> read_arguments(std::string_view key, const Value& value) {
  return whole_words(key, read_strings(key, value));
}

Expected<std::optional<std::vector<std::string>>> read_entrypoint(std::string_view key,
                                                                  const Value& value) {
  auto words = whole_words(key, read_words(key, value));
  if (!words) return fail(std::move(words.error()));
  return std::optional<std::vector<std::string>>{std::move(*words)};
}

Expected<std::map<std::string, std::string>> read_env(std::string_view key, const Value& value) {
  auto env = read_string_map(key, value);
  if (!env) return env;
  std::vector<Error> errors;
  for (const auto& [name, text] : *env) {
    if (name.empty() || name.find('=') != std::string::npos || has_control_character(name)) {
      errors.push_back(invalid_setting(key, quoted(name) + " is no name of a variable"));
    }
    if (text.find('\0') != std::string::npos) {
      errors.push_back(invalid_setting(std::string{key} + "." + name, "it contains a NUL byte"));
    }
  }
  return unless(errors, std::move(*env));
}

Expected<std::map<std::string, std::string>> read_labels(std::string_view key, const Value& value) {
  auto labels = read_string_map(key, value);
  if (!labels) return labels;
  std::vector<Error> errors;
  for (const auto& [name, text] : *labels) {
    // A command line has "name=value": with a '=' in it, a name could pose as one of the driver's.
    if (name.empty() || name.find('=') != std::string::npos || has_control_character(name)) {
      errors.push_back(invalid_setting(key, quoted(name) + " is no name of a label",
                                       "write for example \"com.example.team\" = \"web\""));
    }
    if (text.find('\0') != std::string::npos) {
      errors.push_back(invalid_setting(std::string{key} + "." + name, "it contains a NUL byte"));
    }
  }
  return unless(errors, std::move(*labels));
}

Expected<PullPolicy> read_pull_policy(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  if (text->empty() || *text == "missing") return PullPolicy::kMissing;
  if (*text == "always") return PullPolicy::kAlways;
  if (*text == "never") return PullPolicy::kNever;
  return fail(invalid_setting(key, "unknown policy " + quoted(*text),
                              "write \"missing\", \"always\" or \"never\""));
}

Expected<PullPolicy> read_force_pull(std::string_view key, const Value& value) {
  auto flag = read_bool(key, value);
  if (!flag) return fail(std::move(flag.error()));
  return *flag ? PullPolicy::kAlways : PullPolicy::kMissing;
}

Expected<std::optional<std::chrono::nanoseconds>> read_optional_duration(std::string_view key,
                                                                         const Value& value) {
  auto duration = read_duration(key, value);
  if (!duration) return fail(std::move(duration.error()));
  return std::optional<std::chrono::nanoseconds>{*duration};
}

Expected<std::optional<std::string>> read_signal(std::string_view key, const Value& value) {
  auto text = read_optional_string(key, value);
  if (!text || (*text)->empty()) return text ? std::optional<std::string>{} : text;
  if (auto number = signal_number(**text); !number) {
    return fail(invalid_setting(key, number.error().message()));
  }
  return text;
}

Expected<std::optional<std::string>> read_host_path(std::string_view key, const Value& value) {
  auto text = read_optional_name(key, value);
  if (text && *text && (*text)->front() != '/') {
    return fail(
        invalid_setting(key, "expected an absolute path on the host, found " + quoted(**text)));
  }
  return text;
}

Expected<std::optional<bool>> read_optional_bool(std::string_view key, const Value& value) {
  auto flag = read_bool(key, value);
  if (!flag) return fail(std::move(flag.error()));
  return std::optional{*flag};
}

Expected<std::optional<std::string>> read_platform(std::string_view key, const Value& value) {
  auto text = read_optional_name(key, value);
  if (!text || !*text) return text;
  const std::string& platform = **text;
  const auto slashes = std::count(platform.begin(), platform.end(), '/');
  const bool empty_part =
      platform.front() == '/' || platform.back() == '/' || platform.find("//") != std::string::npos;
  if (slashes < 1 || slashes > 2 || empty_part || !only(platform, "/._-")) {
    return fail(invalid_setting(key, quoted(platform) + " is no platform",
                                "write for example \"linux/arm64\""));
  }
  return text;
}

Expected<std::optional<std::string>> read_archive_path(std::string_view key, const Value& value) {
  auto text = read_optional_name(key, value);
  if (text && *text && (*text)->front() == '/') {
    return fail(
        invalid_setting(key, "expected a path below the task's directory, found " + quoted(**text),
                        "write for example \"local/image.tar\""));
  }
  return text;
}

Expected<std::vector<std::string>> read_caps(std::string_view key, const Value& value) {
  auto texts = read_strings(key, value);
  if (!texts) return texts;
  std::vector<std::string> caps;
  std::vector<Error> errors;
  for (const std::string& text : *texts) {
    auto cap = capability_name(text);
    if (!cap) errors.push_back(invalid_setting(key, cap.error().message()));
    if (cap) caps.push_back(std::move(*cap));
  }
  return unless(errors, std::move(caps));
}

Expected<std::vector<std::string>> read_security_opt(std::string_view key, const Value& value) {
  auto options = read_strings(key, value);
  if (!options) return options;
  std::vector<Error> errors;
  for (const std::string& option : *options) {
    if (!option.empty() && option.front() != '-' && !has_control_character(option)) continue;
    errors.push_back(invalid_setting(key, quoted(option) + " is no option",
                                     "write for example \"no-new-privileges\""));
  }
  return unless(errors, std::move(*options));
}

Expected<std::map<std::string, Ulimit>> read_ulimit(std::string_view key, const Value& value) {
  static constexpr std::array<std::string_view, 15> kNames{
      "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue", "nice",
      "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  auto texts = read_string_map(key, value);
  if (!texts) return fail(std::move(texts.error()));
  std::map<std::string, Ulimit> limits;
  std::vector<Error> errors;
  for (const auto& [name, text] : *texts) {
    const std::string full = std::string{key} + "." + name;
    if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) {
      errors.push_back(invalid_setting(full, "there is no such limit",
                                       "the limits are core, cpu, data, fsize, locks, memlock, "
                                       "msgqueue, nice, nofile, nproc, rss, rtprio, rttime, "
                                       "sigpending, stack"));
      continue;
    }
    const std::size_t colon = text.find(':');
    const auto soft = whole_number(std::string_view{text}.substr(0, colon));
    const auto hard =
        colon == std::string::npos ? soft : whole_number(std::string_view{text}.substr(colon + 1));
    const bool valid = soft && hard && *soft >= -1 && *hard >= -1 &&
                       (*hard == -1 || (*soft != -1 && *soft <= *hard));
    if (!valid) {
      errors.push_back(
          invalid_setting(full, quoted(text) + " is no limit",
                          "write \"soft:hard\", for example \"2048:4096\"; -1 is none"));
      continue;
    }
    limits[name] = {*soft, *hard};
  }
  return unless(errors, std::move(limits));
}

Expected<std::map<std::string, std::string>> read_sysctl(std::string_view key, const Value& value) {
  auto settings = read_string_map(key, value);
  if (!settings) return settings;
  std::vector<Error> errors;
  for (const auto& [name, text] : *settings) {
    if (!name.empty() && name.front() != '-' && only(name, "._-/") &&
        !has_control_character(text)) {
      continue;
    }
    errors.push_back(invalid_setting(std::string{key} + "." + name, "it is no kernel setting",
                                     "write for example \"net.core.somaxconn\" = \"1024\""));
  }
  return unless(errors, std::move(*settings));
}

Expected<std::optional<std::int64_t>> read_pids_limit(std::string_view key, const Value& value) {
  auto number = read_integer(key, value);
  if (!number) return fail(std::move(number.error()));
  if (*number == 0) return std::optional<std::int64_t>{};
  if (*number < -1) {
    return fail(invalid_setting(key, "expected a number above zero, or -1 for no limit"));
  }
  return std::optional{*number};
}

Expected<std::optional<std::int64_t>> read_shm_size(std::string_view key, const Value& value) {
  auto text = read_string(key, value);
  if (!text) return fail(std::move(text.error()));
  if (text->empty() || *text == "0") return std::optional<std::int64_t>{};
  auto bytes = parse_byte_size(*text);
  if (!bytes) return fail(invalid_setting(key, bytes.error().message()));
  return std::optional{*bytes};
}

}  // namespace ndc
