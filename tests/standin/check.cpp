#include "standin/check.hpp"

#include "standin/configuration.hpp"
#include "standin/grammar.hpp"
#include "standin/json.hpp"
#include "standin/values.hpp"

namespace standin {
namespace {

// The checks at run time of commands that leave no container record.
void check_values(Version version, const Parsed& parsed) {
  const auto name = parsed.command->name;
  if (parsed.has("--signal")) parse_signal(version, parsed.get("--signal"));
  if (name == "image pull") {
    normal_reference(parsed.words[0]);
    parse_platform(wanted_platform(parsed));
  }
  if (name == "exec") parse_ulimits(parsed.all("--ulimit"));
  if (name == "network create") {
    if (!is_network_name(parsed.words[0]) || parsed.words[0] == "none") {
      fail("invalid network name: " + parsed.words[0]);
    }
    for (const auto& label : parse_labels(parsed.all("--label"))) check_resource_label(label);
  }
  if (name == "volume create") {
    if (!is_volume_name(parsed.words[0])) fail("invalid volume name '" + parsed.words[0] + "'");
    if (parsed.has("-s") && parse_memory(parsed.get("-s")) == 0) fail("volume size is too small");
  }
  if (name == "registry login" && parsed.has("--password-stdin") && !parsed.has("--username")) {
    fail("must provide --username with --password-stdin");
  }
}

}  // namespace

Verdict check(Version version, const std::vector<std::string>& argv) {
  try {
    const Parsed parsed = parse(version, argv);
    Json effect(rapidjson::kObjectType);
    auto& alloc = effect.GetAllocator();
    put(effect, "command", parsed.command->name, alloc);
    Value options(rapidjson::kObjectType);
    for (const auto& [name, values] : parsed.options) {
      put(options, name, strings(values, alloc), alloc);
    }
    put(effect, "options", std::move(options), alloc);
    put(effect, "words", strings(parsed.words, alloc), alloc);
    if (parsed.command->name == "run" || parsed.command->name == "create") {
      Context context;
      context.version = version;
      context.host = false;
      const Json record = build_record(context, parsed, default_image(parsed.words[0]));
      put(effect, "record", Value(record, alloc), alloc);
    } else {
      check_values(version, parsed);
    }
    return {0, to_plain_text(effect)};
  } catch (const CliError& error) {
    return {error.code(), error.what()};
  }
}

}  // namespace standin
