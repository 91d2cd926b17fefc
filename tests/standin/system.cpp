// system status, version, start, stop.
#include <unistd.h>

#include "standin/commands.hpp"
#include "standin/text.hpp"
#include "standin/view.hpp"

namespace standin {
namespace {

// A daemon that was not restarted after an upgrade: `faults/daemon-version`.
std::string daemon_version(const Call& call) {
  const auto text = read_file(call.store.path("faults/daemon-version"));
  return text ? trim(*text) : std::string(to_string(call.version));
}

std::string sentence(const std::string& version) {
  return "container-apiserver version " + version +
         " (build: release, commit: " + pseudo_digest(version).substr(0, 7) + ")";
}

bool answers(const Call& call) {
  return !daemon_is_down(call.store) && !(call.fault && call.fault->kind == "xpc");
}

int status(const Call& call) {
  const bool up = answers(call);
  const std::string version = daemon_version(call);
  Json json(rapidjson::kObjectType);
  auto& alloc = json.GetAllocator();
  const auto add = [&](const char* key, const std::string& value) {
    put(json, key, up ? value : "", alloc);
  };
  put(json, "status", up ? "running" : "not running", alloc);
  add("apiServerAppName", "container-apiserver");
  add("apiServerBuild", "release");
  add("apiServerCommit", pseudo_digest(version).substr(0, 40));
  add("apiServerVersion", sentence(version));
  add("appRoot", call.store.path(""));
  add("installRoot", "/usr/local/");
  if (call.parsed.get("--format", "table") == "json") {
    print_json(call, json, false);
  } else {
    print_line(std::string("apiserver is ") + (up ? "running" : "not running"));
  }
  return up ? 0 : 1;
}

int version(const Call& call) {
  Json list(rapidjson::kArrayType);
  auto& alloc = list.GetAllocator();
  const auto add = [&](const char* name, const std::string& number, const std::string& shown) {
    Value one(rapidjson::kObjectType);
    put(one, "appName", name, alloc);
    put(one, "version", shown, alloc);
    put(one, "buildType", "release", alloc);
    put(one, "commit", pseudo_digest(number).substr(0, 40), alloc);
    list.PushBack(one, alloc);
  };
  const std::string own(to_string(call.version));
  add("container", own, own);
  if (answers(call)) {
    const std::string theirs = daemon_version(call);
    add("container-apiserver", theirs, sentence(theirs));
  }
  if (call.parsed.get("--format", "table") == "json") {
    print_json(call, list, false);
  } else {
    print_line(version_line(call.version));
  }
  return 0;
}

}  // namespace

int command_system(const Call& call, const std::string& verb) {
  if (verb == "status") return status(call);
  if (verb == "version") return version(call);
  const int text = is_old(call.version) ? STDOUT_FILENO : STDERR_FILENO;
  const std::string down = call.store.path("faults/daemon-down");
  if (verb == "start") {
    write_all(text, "Verifying apiserver is running...\n");
    unlink(down.c_str());
    return 0;
  }
  for (const auto& id : call.store.container_ids()) {
    if (call.store.state(id).running) call.store.ask(id, "stop 15 5");
  }
  write_file(down, "");
  call.store.next_epoch();
  write_all(text, "Stopping apiserver\n");
  return 0;
}

}  // namespace standin
