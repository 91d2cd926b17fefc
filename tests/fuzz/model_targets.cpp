// Settings, handles and the small texts in them.

#include <string>
#include <utility>

#include "model/byte_size.hpp"
#include "model/capabilities.hpp"
#include "model/container_name.hpp"
#include "model/duration.hpp"
#include "model/image_reference.hpp"
#include "model/labels.hpp"
#include "model/operator_policy.hpp"
#include "model/plugin_config.hpp"
#include "model/registry_auth.hpp"
#include "model/signals.hpp"
#include "model/task_config.hpp"
#include "model/task_handle.hpp"
#include "model/version_number.hpp"
#include "rpc/msgpack_value.hpp"
#include "runtime/apple_argv.hpp"
#include "runtime/podman_argv.hpp"
#include "runtime/state_directory.hpp"
#include "targets.hpp"

namespace ndc::fuzz {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

void check_error(const Error& error) {
  const std::string message = error.message();
  require(!message.empty(), "an error has words");
  require(valid_utf8(message) == message, "an error is valid UTF-8");
}

void check_words(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    require(word.find('\0') == std::string::npos, "no argument is cut short");
  }
}

// The same for Apple's CLI.
void check_apple(const TaskSpec& spec, const TaskConfig& config) {
  runtime::AppleRequest request;
  request.spec = &spec;
  request.config = &config;
  request.version = {1, 2, 2};
  request.image = config.image;
  request.id = "n";
  request.private_network = "nomad-a";
  request.env_file = "/e";
  for (const auto& [name, value] : config.labels) request.labels.emplace_back(name, value);
  for (const Volume& volume : config.volumes) {
    using Kind = runtime::AppleMount::Kind;
    request.mounts.push_back({Kind::kDirectory, volume.source, volume.target, volume.options});
  }
  const auto arguments = runtime::apple_arguments(request);
  if (!arguments) return check_error(arguments.error());
  for (const std::string& option : arguments->options) {
    require(option.empty() || option.starts_with("--"), "an option is one, or an empty value");
  }
  check_words(arguments->options);
  check_words(arguments->tail);
  require(arguments->tail.front() == "--", "what is no option stands apart");
}

// What a task config becomes must be safe to hand to podman.
void check_task(const TaskConfig& config) {
  TaskSpec spec;
  spec.name = "web";
  spec.alloc_id = "0a1b2c3d-1111-2222-3333-444455556666";
  for (const std::string& label : config.ports) spec.ports.push_back({label, 20000, 80, ""});
  PluginConfig plugin;
  plugin.allowed_images = {"docker.io/*"};
  for (const Error& error : policy_refusals(config, plugin)) check_error(error);
  check_apple(spec, config);
  runtime::PodmanRequest request;
  request.spec = &spec;
  request.config = &config;
  request.image = config.image;
  request.name = "n";
  for (const auto& [name, value] : config.labels) request.labels.emplace_back(name, value);
  for (const Volume& volume : config.volumes) {
    require(volume.target.starts_with('/'), "a volume's target is absolute");
    request.mounts.push_back({volume.source, volume.target, volume.options});
  }
  const auto arguments = runtime::podman_arguments(request);
  if (!arguments) return check_error(arguments.error());
  for (const std::string& option : arguments->options) {
    require(option.starts_with("--"), "an option is one");
  }
  require(!arguments->tail.front().starts_with('-'), "the image is no option");
  check_words(arguments->options);
  check_words(arguments->tail);
}

void handle(std::string_view input) {
  const auto read = decode_handle(input);
  if (!read) return check_error(read.error());
  const auto again = decode_handle(encode_handle(*read));
  require(again.has_value(), "a handle that was read can be written and read");
  require(again->container == read->container && again->task_id == read->task_id,
          "a handle comes back as it was");
  require(read->stop_signal >= 1 && read->stop_signal <= kLastSignal, "a stop signal is one");
}

void duration(std::string_view input) {
  const auto parsed = parse_duration(input);
  if (!parsed) return check_error(parsed.error());
  require(parsed->count() >= 0, "a duration is not negative");
  const auto again = parse_duration(format_duration(*parsed));
  require(again.has_value(), "what is printed can be read");
  // The parts are doubles: beyond 2^53 ns (104 days) they are not exact.
  if (parsed->count() < (std::int64_t{1} << 52)) {
    require(*again == *parsed, "what is printed is the same");
  }
}

void image_reference(std::string_view input) {
  const auto parsed = parse_image_reference(input);
  if (!parsed) return check_error(parsed.error());
  const auto again = parse_image_reference(parsed->text());
  require(again.has_value() && *again == *parsed, "a full name means itself");
  glob_match(input, parsed->text());
  const RegistryAuth auth{"u", "p", std::string{input}};
  const auto chosen = credentials_for(input, std::nullopt, auth);
  require(chosen.has_value(), "the operator's credentials are never an error");
  if (*chosen) {
    require((*chosen)->server_address == parsed->registry, "credentials are for their registry");
  }
}

void signals(std::string_view input) {
  for (const auto& number : {signal_number(input), image_signal_number(input)}) {
    if (!number) {
      check_error(number.error());
      continue;
    }
    require(*number >= 1 && *number <= kLastSignal, "a signal is one");
    if (const auto again = signal_number(signal_name(*number))) {
      require(*again == *number, "a signal's name means itself");
    }
  }
}

// What is made of names that Nomad gives, and whether what a handle holds may be one.
void names(std::string_view input) {
  const std::string_view task = input.substr(0, input.size() / 2);
  const std::string_view rest = input.substr(input.size() / 2);
  const std::string name = container_name(task, rest);
  require(may_be_container_name(name) && runtime::is_state_name(name), "a name is a container's");
  TaskConfig config;
  config.hostname = std::string{rest};
  if (const auto id = runtime::apple_container_id(name, config)) {
    require(runtime::is_apple_id(*id), "an id is one that is found again");
  }
  require(!runtime::is_state_name(input) || input.find('/') == std::string_view::npos,
          "a name is no path");
  require(!runtime::is_apple_id(input) || !input.starts_with('-'), "an id is no option");
}

void small_texts(std::string_view input) {
  signals(input);
  names(input);
  TaskResources resources;
  resources.cpuset = input;
  require(runtime::apple_cpus(resources, 4) >= 1, "a machine has a CPU");
  const auto size = parse_byte_size(input);
  require(!size || *size > 0, "a size is above zero");
  if (const auto version = parse_version(input)) {
    require(*parse_version(version->text()) == *version, "a version means itself");
  }
  registry_host(input);
  glob_match(input.substr(0, input.size() / 2), input.substr(input.size() / 2));
  const std::string clean = valid_utf8(input);
  require(valid_utf8(clean) == clean, "what was made valid is valid");
  quoted(input);
}

// Lines of "key=value": lists with ';' between their elements, maps with ';' and '='.
Value value_of(const Setting& setting, const std::string& text);

Value map_of(const Schema& schema, const std::string& text) {
  Value::Map out;
  for (const std::string& entry : split(text, ';')) {
    const std::size_t at = entry.find('=');
    const std::string key = entry.substr(0, at);
    const std::string rest = at == std::string::npos ? "" : entry.substr(at + 1);
    Value value{rest};
    for (const Setting& nested : schema) {
      if (nested.key == key && nested.type != SettingType::kBlock) value = value_of(nested, rest);
      if (nested.key == key && nested.type == SettingType::kBlock && !nested.nested.empty()) {
        value = Value{Value::Map{{nested.nested.front().key, Value{rest}}}};
      }
    }
    out[key] = std::move(value);
  }
  return Value{std::move(out)};
}

Value value_of(const Setting& setting, const std::string& text) {
  switch (setting.type) {
    case SettingType::kStringList:
    case SettingType::kWords: {
      Value::List list;
      for (std::string& part : split(text, ';')) list.push_back(Value{std::move(part)});
      return Value{std::move(list)};
    }
    case SettingType::kStringMap:
    case SettingType::kBlock:
      return map_of(setting.nested, text);
    case SettingType::kBlockList:
      return Value{Value::List{map_of(setting.nested, text)}};
    default:
      return Value{text};
  }
}

Value block_of(const Schema& schema, std::string_view input) {
  Value::Map block;
  for (const std::string& line : split(input, '\n')) {
    const std::size_t at = line.find('=');
    if (at == std::string::npos) continue;
    const std::string key = line.substr(0, at);
    for (const Setting& setting : schema) {
      if (setting.key == key) block[key] = value_of(setting, line.substr(at + 1));
    }
  }
  return Value{std::move(block)};
}

void task_config(std::string_view input) {
  const auto config = decode_task_config(block_of(task_schema(), input));
  if (!config) return check_error(config.error());
  check_task(*config);
}

void plugin_config(std::string_view input) {
  const auto config = decode_plugin_config(block_of(plugin_schema(), input));
  if (!config) check_error(config.error());
}

void msgpack(std::string_view input) {
  const auto value = rpc::decode_msgpack(input);
  if (!value) return check_error(value.error());
  if (const auto plugin = decode_plugin_config(*value); !plugin) check_error(plugin.error());
  const auto config = decode_task_config(*value);
  if (!config) return check_error(config.error());
  check_task(*config);
}

}  // namespace

std::vector<Target> model_targets() {
  return {{"handle", handle},
          {"duration", duration},
          {"image_reference", image_reference},
          {"small_texts", small_texts},
          {"task_config", task_config},
          {"plugin_config", plugin_config},
          {"msgpack", msgpack}};
}

}  // namespace ndc::fuzz
