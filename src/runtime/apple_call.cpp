#include "runtime/apple_call.hpp"

#include "model/image_reference.hpp"
#include "model/task_config.hpp"
#include "runtime/apple_argv.hpp"

namespace ndc::runtime {
namespace {

std::string plain(const std::string& reference) {
  return std::string{without_transport(reference)};
}

// From 0.12 on the CLI wants https of "localhost:5000". A registry on this very machine is
// reached without, as with docker.
std::vector<std::string> scheme_for(const std::string& host) {
  const std::string name = host.substr(0, host.find(':'));
  if (name != "localhost" && !name.starts_with("127.")) return {};
  return {"--scheme", "http"};
}

}  // namespace

AppleCall& AppleCall::add(const std::vector<std::string>& more) {
  words_.insert(words_.end(), more.begin(), more.end());
  return *this;
}

std::vector<std::string> AppleCall::argv(const std::string& program) const {
  std::vector<std::string> out{program};
  out.insert(out.end(), words_.begin(), words_.end());
  return out;
}

// --- the service --------------------------------------------------------------------------------

AppleCall AppleCall::version() { return AppleCall{{"--version"}}; }

AppleCall AppleCall::system_status() { return AppleCall{{"system", "status", "--format", "json"}}; }

AppleCall AppleCall::system_version() {
  return AppleCall{{"system", "version", "--format", "json"}};
}

// --- containers ---------------------------------------------------------------------------------

AppleCall AppleCall::create(const AppleArguments& arguments) {
  return AppleCall{{"create"}}.add(arguments.options).add(arguments.tail);
}

AppleCall AppleCall::start(const std::string& id, const TaskConfig& config) {
  AppleCall out{{"start", "--attach"}};
  // With a terminal the CLI takes the size from its stdin.
  if (config.tty || config.interactive) out.add({"--interactive"});
  return out.add({id});
}

AppleCall AppleCall::list_all() { return AppleCall{{"list", "--all", "--format", "json"}}; }

AppleCall AppleCall::list_running() { return AppleCall{{"list", "--format", "json"}}; }

AppleCall AppleCall::stats() { return AppleCall{{"stats", "--format", "json", "--no-stream"}}; }

AppleCall AppleCall::kill(const std::string& id, int signal) {
  return AppleCall{{"kill", "--signal", std::to_string(signal), id}};
}

AppleCall AppleCall::stop(const std::string& id) {
  return AppleCall{{"stop", "--signal", "9", "--time", "1", id}};
}

AppleCall AppleCall::remove(const std::string& id) { return AppleCall{{"delete", "--force", id}}; }

AppleCall AppleCall::exec(const std::string& id, const std::vector<std::string>& command) {
  return AppleCall{{"exec", "--", id}}.add(command);
}

AppleCall AppleCall::exec_interactive(const std::string& id,
                                      const std::vector<std::string>& command, bool tty,
                                      const std::string& variable) {
  AppleCall out{{"exec", "--interactive"}};
  if (tty) out.add({"--tty"});
  return out.add({"--env=" + variable, "--", id}).add(command);
}

// --- images -------------------------------------------------------------------------------------

AppleCall AppleCall::image_inspect(const std::string& reference) {
  return AppleCall{{"image", "inspect", plain(reference)}};
}

AppleCall AppleCall::image_pull(const std::string& reference, const std::string& platform) {
  AppleCall out{{"image", "pull", "--progress", "none", "--platform=" + platform}};
  if (const auto parsed = parse_image_reference(reference)) out.add(scheme_for(parsed->registry));
  return out.add({plain(reference)});
}

AppleCall AppleCall::image_load(const std::string& archive) {
  return AppleCall{{"image", "load", "--input=" + archive}};
}

AppleCall AppleCall::image_delete(const std::string& reference) {
  // With --force one that is gone already is no error.
  return AppleCall{{"image", "delete", "--force", plain(reference)}};
}

// --- logins -------------------------------------------------------------------------------------

AppleCall AppleCall::registry_list() { return AppleCall{{"registry", "list", "--format", "json"}}; }

AppleCall AppleCall::registry_login(const std::string& host, const std::string& user) {
  return AppleCall{{"registry", "login", "--username=" + user, "--password-stdin"}}
      .add(scheme_for(host))
      .add({host});
}

AppleCall AppleCall::registry_logout(const std::string& host) {
  return AppleCall{{"registry", "logout", host}};
}

// --- networks -----------------------------------------------------------------------------------

AppleCall AppleCall::network_list() { return AppleCall{{"network", "list", "--format", "json"}}; }

AppleCall AppleCall::network_create(
    const std::string& name, const std::vector<std::pair<std::string, std::string>>& labels) {
  AppleCall out{{"network", "create"}};
  for (const auto& [key, value] : labels) out.add({"--label=" + key + "=" + value});
  return out.add({name});
}

AppleCall AppleCall::network_delete(const std::string& name) {
  return AppleCall{{"network", "delete", name}};
}

}  // namespace ndc::runtime
