// Every command line of Apple's CLI but that of `create`: each version's grammar accepts it,
// whatever is in it, and takes it as it was meant.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/random_text.hpp"
#include "model/image_reference.hpp"
#include "model/operator_policy.hpp"
#include "model/task_config.hpp"
#include "model/task_setting_readers.hpp"
#include "runtime/apple_call.hpp"
#include "runtime/apple_networks.hpp"
#include "standin/check.hpp"
#include "standin/json.hpp"
#include "support/catch.hpp"

using namespace ndc;
using namespace ndc::runtime;
using namespace ndc::test;

namespace {

using Words = std::vector<std::string>;

// What a version has to make of a call. A flag has one empty value.
struct Meaning {
  std::string command;
  std::map<std::string, Words> options;
  Words words;
  bool operator==(const Meaning&) const = default;
};

const Words kFlag{""};

Meaning meaning_of(const std::string& verdict) {
  const auto effect = standin::parse_json(verdict);
  if (!effect || !effect->IsObject()) return {};
  Meaning out{standin::get_string(*effect, "command"), {}, standin::get_strings(*effect, "words")};
  for (const auto& option : (*effect)["options"].GetObject()) {
    const char* name = option.name.GetString();
    out.options[name] = standin::get_strings((*effect)["options"], name);
  }
  return out;
}

class Judge {
 public:
  explicit Judge(standin::Version version) : version_{version} {}

  void operator()(const AppleCall& call, const Meaning& meant) const {
    const auto verdict = standin::check(version_, call.words());
    if (verdict.code == 0 && meaning_of(verdict.text) == meant) return;
    FAIL(standin::to_string(version_)
         << ": " << verdict.code << " " << verdict.text << joined(call.words()));
  }

 private:
  standin::Version version_;
};

struct RandomReference {
  std::string written;  // with what other tools know
  std::string plain;
  std::string registry;
  bool local = false;

  explicit RandomReference(Generator& g) {
    static const std::vector<std::string> registries{
        "", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "ghcr.io", "Registry.Example:443"};
    registry = g.pick(registries);
    plain = registry.empty() ? "" : registry + "/";
    for (int i = g.number(0, 2); i > 0; --i) plain += g.pick(components()) + "/";
    plain += g.pick(components()) + g.pick<std::string>({"", ":1", ":Latest-2", ":_x"});
    if (g.chance(20)) plain += "@sha256:" + std::string(64, 'a');
    local = registry.starts_with("localhost") || registry.starts_with("127.");
    written = g.pick<std::string>({"", "", "docker://", "https://", "http://docker://"}) + plain;
    if (registry.empty()) registry = "docker.io";
  }

 private:
  static const std::vector<std::string>& components() {
    static const std::vector<std::string> all{"a", "x1", "b-c", "d_e", "h__i", "0"};
    return all;
  }
};

std::string random_id(Generator& g) {
  std::string id = g.word();
  if (g.chance(50)) id += g.pick<std::string>({"-", "--", "_", "."}) + g.word();
  return id;
}

std::string random_uuid(Generator& g) {
  std::string uuid;
  for (const int length : {8, 4, 4, 4, 12}) {
    if (!uuid.empty()) uuid += '-';
    for (int i = 0; i < length; ++i) {
      uuid += "0123456789abcdef"[static_cast<std::size_t>(g.number(0, 15))];
    }
  }
  return uuid;
}

void judge_containers(Generator& g, const Judge& judge) {
  const std::string id = random_id(g);
  TaskConfig config;
  config.tty = g.chance(30);
  config.interactive = g.chance(30);
  Meaning start{"start", {{"--attach", kFlag}}, {id}};
  if (config.tty || config.interactive) start.options["--interactive"] = kFlag;
  judge(AppleCall::start(id, config), start);
  judge(AppleCall::stop(id), {"stop", {{"--signal", {"9"}}, {"--time", {"1"}}}, {id}});
  judge(AppleCall::remove(id), {"delete", {{"--force", kFlag}}, {id}});

  Words command{g.text() + "x"};  // an empty one is refused
  for (int i = g.number(0, 4); i > 0; --i) command.push_back(g.text());
  Meaning exec{"exec", {}, {id}};
  exec.words.insert(exec.words.end(), command.begin(), command.end());
  judge(AppleCall::exec(id, command), exec);
  const std::string variable = "NAME=" + g.text();
  const bool tty = g.chance(50);
  exec.options = {{"--interactive", kFlag}, {"--env", {variable}}};
  if (tty) exec.options["--tty"] = kFlag;
  judge(AppleCall::exec_interactive(id, command, tty, variable), exec);
}

void judge_images(Generator& g, const Judge& judge) {
  const RandomReference image{g};
  const auto parsed = parse_image_reference(image.written);
  INFO(image.written);
  REQUIRE(parsed);
  REQUIRE(parsed->registry == image.registry);
  judge(AppleCall::image_inspect(image.written), {"image inspect", {}, {image.plain}});
  judge(AppleCall::image_delete(image.written),
        {"image delete", {{"--force", kFlag}}, {image.plain}});
  const auto platform = g.pick<std::string>({"linux/arm64", "linux/amd64", "linux/arm/v7"});
  Meaning pull{"image pull", {{"--progress", {"none"}}, {"--platform", {platform}}}, {image.plain}};
  if (image.local) pull.options["--scheme"] = {"http"};
  judge(AppleCall::image_pull(image.written, platform), pull);
  const std::string archive = "/" + g.text();
  judge(AppleCall::image_load(archive), {"image load", {{"--input", {archive}}}, {}});

  std::string user = g.text();  // a colon or none at all are refused
  std::erase(user, ':');
  user += "u";
  Meaning login{
      "registry login", {{"--username", {user}}, {"--password-stdin", kFlag}}, {image.registry}};
  if (image.local) login.options["--scheme"] = {"http"};
  judge(AppleCall::registry_login(image.registry, user), login);
  judge(AppleCall::registry_logout(image.registry), {"registry logout", {}, {image.registry}});
}

void judge_networks(Generator& g, const Judge& judge) {
  const std::string alloc = random_uuid(g);
  const std::string node = random_uuid(g);
  const std::string name = allocation_network(alloc);
  const Words labels{"nomad.alloc-id=" + alloc, "nomad.node-id=" + node};
  judge(AppleCall::network_create(name, {{kNetworkAllocId, alloc}, {kNetworkNodeId, node}}),
        {"network create", {{"--label", labels}}, {name}});
  judge(AppleCall::network_delete(name), {"network delete", {}, {name}});
}

}  // namespace

TEST_CASE("every call without input is accepted by each version") {
  const std::pair<const std::string, Words> json{"--format", {"json"}};
  for (const char* text : kAppleVersions) {
    const standin::Version version = *standin::parse_version(text);
    const Judge judge{version};
    judge(AppleCall::system_status(), {"system status", {json}, {}});
    judge(AppleCall::system_version(), {"system version", {json}, {}});
    judge(AppleCall::list_all(), {"list", {json, {"--all", kFlag}}, {}});
    judge(AppleCall::list_running(), {"list", {json}, {}});
    judge(AppleCall::stats(), {"stats", {json, {"--no-stream", kFlag}}, {}});
    judge(AppleCall::registry_list(), {"registry list", {json}, {}});
    judge(AppleCall::network_list(), {"network list", {json}, {}});
    const auto said = standin::check(version, AppleCall::version().words());
    CHECK(said.code == 0);
    CHECK(said.text.find(text) != std::string::npos);
  }
}

TEST_CASE("every signal that there is can be sent with each version") {
  for (const char* text : kAppleVersions) {
    const Judge judge{*standin::parse_version(text)};
    for (int signal = 1; signal <= 64; ++signal) {
      if (signal == 32 || signal == 33) continue;  // the guest's C library keeps them
      judge(AppleCall::kill("web", signal),
            {"kill", {{"--signal", {std::to_string(signal)}}}, {"web"}});
    }
  }
}

TEST_CASE("every call is accepted by its version and means what is in it") {
  const unsigned seed = random_seed();
  for (const char* text : kAppleVersions) {
    Generator generator{seed};
    const Judge judge{*standin::parse_version(text)};
    for (int i = 0; i < kInputs; ++i) {
      judge_containers(generator, judge);
      judge_images(generator, judge);
      judge_networks(generator, judge);
    }
  }
}

// What is no reference is for the CLI to say; never that it does not understand its argv.
TEST_CASE("no image that a job may name is taken for an option") {
  const unsigned seed = random_seed();
  for (const char* text : kAppleVersions) {
    Generator generator{seed};
    const standin::Version version = *standin::parse_version(text);
    const Judge judge{version};
    for (int i = 0; i < kInputs; ++i) {
      std::string image = generator.text();
      for (int prefixes = generator.number(0, 2); prefixes > 0; --prefixes) {
        image.insert(0, generator.pick<std::string>({"docker://", "http://", "oci://", "-"}));
      }
      if (!read_image("image", Value{image})) continue;
      const std::string name = image_to_use(image, PluginConfig{});
      judge(AppleCall::image_inspect(name), {"image inspect", {}, {name}});
      judge(AppleCall::image_delete(name), {"image delete", {{"--force", kFlag}}, {name}});
      const AppleCall pull = AppleCall::image_pull(name, "linux/arm64");
      const auto verdict = standin::check(version, pull.words());
      if (verdict.code == 0) {
        REQUIRE(meaning_of(verdict.text).words == Words{name});
      } else if (verdict.code != 1) {
        FAIL(text << ": " << verdict.code << " " << verdict.text << joined(pull.words()));
      }
    }
  }
}
