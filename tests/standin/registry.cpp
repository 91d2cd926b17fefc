// registry login, logout, list: the "keychain" is a file per host in the state directory.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "standin/commands.hpp"
#include "standin/settings.hpp"
#include "standin/text.hpp"
#include "standin/view.hpp"

namespace standin {
namespace {

std::string entry_path(const Store& store, std::string stored) {
  std::replace(stored.begin(), stored.end(), '/', '_');
  return store.path("registries/" + stored + ".json");
}

// The name of an entry.
std::string stored_name(const std::string& host) {
  return host == "docker.io" ? "registry-1.docker.io" : host;
}

std::optional<Json> entry(const Store& store, const std::string& host) {
  const auto text = read_file(entry_path(store, stored_name(host)));
  return text ? parse_json(*text) : std::nullopt;
}

void check_keychain(const Call& call) {
  if (call.fault && call.fault->kind == "keychain") {
    fail("error querying keychain: unhandledError(status: -25308)");
  }
}

std::string read_stdin() {
  std::string text;
  char buffer[512];
  while (true) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

int login(const Call& call) {
  const std::string host = call.parsed.words[0];
  const std::string user = call.parsed.get("--username");
  if (!call.parsed.has("--password-stdin")) {
    fail("cannot prompt for credentials: standard input is not a terminal");
  }
  if (user.empty()) fail("must provide --username with --password-stdin");
  const std::string password = trim(read_stdin());
  check_keychain(call);
  if (host.starts_with("unreachable.")) {
    fail("A server with the specified hostname could not be found. " + host);
  }
  if (host.starts_with("private.") &&
      (user != "user" || password != setting("PASSWORD", "secret"))) {
    fail("HTTP request to https://" + host +
         "/v2/ failed with response: 401 Unauthorized. Reason: incorrect username or password");
  }
  double created = unix_time();
  if (const auto old = entry(call.store, host)) created = (*old)["created"].GetDouble();
  Json json(rapidjson::kObjectType);
  auto& alloc = json.GetAllocator();
  put(json, "host", stored_name(host), alloc);
  put(json, "username", user, alloc);
  put(json, "password", password, alloc);
  put(json, "created", Value(created), alloc);
  put(json, "modified", Value(unix_time()), alloc);
  write_file(entry_path(call.store, stored_name(host)), to_plain_text(json));
  write_all(is_old(call.version) ? STDOUT_FILENO : STDERR_FILENO, "Login succeeded\n");
  return 0;
}

int list(const Call& call) {
  check_keychain(call);
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  for (const auto& name : list_directory(call.store.path("registries"))) {
    if (!name.ends_with(".json")) continue;  // another call is just writing it
    const auto text = read_file(call.store.path("registries/" + name));
    const auto stored = text ? parse_json(*text) : std::nullopt;
    if (!stored) continue;
    const std::string host = get_string(*stored, "host");
    if (call.parsed.get("--format", "table") != "json") {
      print_line(host + (call.parsed.has("--quiet") ? "" : "  " + get_string(*stored, "username")));
      continue;
    }
    Value one(rapidjson::kObjectType);
    put(one, "id", host, alloc);
    put(one, "name", host, alloc);
    put(one, "username", get_string(*stored, "username"), alloc);
    put(one, "creationDate", date(call.version, (*stored)["created"].GetDouble(), alloc), alloc);
    put(one, "modificationDate", date(call.version, (*stored)["modified"].GetDouble(), alloc),
        alloc);
    put(one, "labels", Value(rapidjson::kObjectType), alloc);
    list.PushBack(one, alloc);
  }
  if (call.parsed.get("--format", "table") == "json") print_json(call, list, false);
  return 0;
}

}  // namespace

std::string stored_user(const Store& store, const std::string& host) {
  const auto found = entry(store, host);
  return found ? get_string(*found, "username") : "";
}

std::string stored_password(const Store& store, const std::string& host) {
  const auto found = entry(store, host);
  return found ? get_string(*found, "password") : "";
}

int command_registry(const Call& call, const std::string& verb) {
  if (verb == "login") return login(call);
  if (verb == "list") return list(call);
  check_keychain(call);
  // Of the entry that has this very name, and no error without one: docker.io has none.
  unlink(entry_path(call.store, call.parsed.words[0]).c_str());
  return 0;
}

}  // namespace standin
