// run, create, start, stop, kill, delete, prune.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "standin/attach.hpp"
#include "standin/commands.hpp"
#include "standin/creation.hpp"
#include "standin/networks.hpp"
#include "standin/plan.hpp"
#include "standin/settings.hpp"
#include "standin/values.hpp"

namespace standin {
namespace {

constexpr const char* kStartLock = "start.lock";

std::vector<std::string> volumes_of(const Json& record) {
  std::vector<std::string> names;
  for (const auto& mount : record["configuration"]["mounts"].GetArray()) {
    if (!mount["type"].HasMember("volume")) continue;
    names.push_back(get_string(mount["type"]["volume"], "name"));
  }
  return names;
}

// A volume is the container's that was started with it last, for as long as that one runs.
void take_volumes(const Call& call, const std::string& id, const Json& record) {
  const auto names = volumes_of(record);
  const auto user = [&call](const std::string& name) {
    return call.store.path("volumes/" + name + "/user");
  };
  for (const auto& name : names) {
    const std::string other = read_file(user(name)).value_or("");
    if (other.empty() || other == id || !call.store.state(other).running) continue;
    const auto theirs = call.store.record(other);
    if (!theirs) continue;
    const auto used = volumes_of(*theirs);
    if (std::find(used.begin(), used.end(), name) == used.end()) continue;
    fail(
        "failed to bootstrap container (cause: \"unknown: \"Error Domain=VZErrorDomain "
        "Code=2 \"A storage device attachment is invalid.\"\"\")");
  }
  for (const auto& name : names) write_file(user(name), id);
}

Connection start_helper(const Call& call, const std::string& id, const Json& record, bool attached,
                        bool interactive) {
  if (call.version < Version::v1_2_2 && !is_old(call.version) && id.size() > 64) {
    fail("failed to bootstrap container (cause: \"invalidArgument: \"container id length " +
         std::to_string(id.size()) + " exceeds maximum of 64 characters\"\")");
  }
  // One machine boots at a time.
  const Fd lock = call.store.lock(kStartLock);
  if (!call.store.exists(id)) fail("get failed: container " + id + " not found");  // meanwhile
  if (call.store.state(id).orphaned) {
    fail("failed to bootstrap container (cause: \"internalError: \"container " + id +
         " already has a running helper\"\")");
  }
  take_volumes(call, id, record);
  const Plan plan = plan_container(call.store, record, true);
  sleep_ms(setting_ms("START_MS", 0));
  HelperOptions options;
  options.attached = attached;
  options.interactive = interactive;
  options.epoch = call.store.epoch();
  Connection connection = launch_helper(plan, options);
  await_start(connection);
  return connection;
}

int finish_attached(const Call& call, const std::string& id, const AttachResult& result,
                    bool is_run) {
  switch (result.kind) {
    case AttachResult::Kind::exited:
    case AttachResult::Kind::lost:
    case AttachResult::Kind::escaped:
      return result.code & 0xff;
    case AttachResult::Kind::undrained:
      break;
  }
  if (is_run) {
    call.store.ask(id, "die");
    release_addresses(call.store, id);
    call.store.remove_container(id);
    fail("failed to run container: CancellationError()");
  }
  call.store.ask(id, "stop 15 5");
  fail("failed to start container: CancellationError()");
}

int start_attached(const Call& call, const std::string& id, const Json& record, bool interactive) {
  const bool is_run = call.parsed.command->name == "run";
  AttachOptions options;
  options.version = call.version;
  options.interactive = interactive;
  options.tty = get_bool(record["configuration"]["initProcess"], "terminal");
  options.three_signals_end_it = is_run;
  options.fault = call.fault;
  if (options.interactive && options.tty && isatty(STDIN_FILENO) == 0) {
    fail("stdin is not a terminal");
  }
  Connection connection = start_helper(call, id, record, true, interactive);
  return finish_attached(call, id, attach(std::move(connection), options), is_run);
}

Json need_record(const Call& call, const std::string& id) {
  auto record = call.store.record(id);
  if (!record) fail("get failed: container " + id + " not found");
  return *std::move(record);
}

std::vector<std::string> chosen(const Call& call, bool running_only) {
  const auto& words = call.parsed.words;
  const bool all = call.parsed.has("--all");
  if (words.empty() && !all) fail("no containers specified and --all not supplied");
  if (!words.empty() && all) fail("explicitly supplied container IDs conflict with the --all flag");
  if (!all) return words;
  std::vector<std::string> ids;
  for (const auto& id : call.store.container_ids()) {
    if (!running_only || call.store.state(id).running) ids.push_back(id);
  }
  return ids;
}

std::string not_found(const std::string& id) {
  return "notFound: \"container with ID " + id + " not found\"";
}

// An invalid signal is reported alone in 0.x, nested from 1.0 on.
int checked_signal(const Call& call, const std::string& name, const std::string& failure) {
  try {
    return parse_signal(call.version, name);
  } catch (const CliError& error) {
    if (is_old(call.version)) throw;
    fail("internalError: \"" + failure + "\" (cause: \"invalidArgument: \"" +
         std::string(error.what()) + "\"\")");
  }
}

// All of them are told before the first is waited for.
int stop_all(const Call& call, const std::vector<std::string>& ids) {
  std::vector<Fd> asked;
  for (const auto& id : ids) {
    asked.emplace_back();
    const auto record = call.store.record(id);
    // Stopped, or not known to run since the daemon crashed: nothing to do, and no error.
    if (!record || !call.store.state(id).running) continue;
    std::string name = call.parsed.get("--signal");
    if (name.empty() && !is_old(call.version)) {
      name = get_string((*record)["configuration"], "stopSignal");
    }
    const int number = name.empty() ? 15 : parse_signal(call.version, name);
    asked.back() = call.store.begin_ask(
        id, "stop " + std::to_string(number) + " " + call.parsed.get("--time", "5"));
  }
  for (const auto& one : asked) Store::await_answer(one);
  return for_each_id(call, ids, "failed to stop container",
                     [](const Call& c, const std::string& id) {
                       return c.store.exists(id) ? std::string() : not_found(id);
                     });
}

std::string kill_one(const Call& call, const std::string& id) {
  if (!call.store.exists(id)) return not_found(id);
  if (!call.store.state(id).running) return "invalidState: \"container is stopped\"";
  const int number = parse_signal(call.version, call.parsed.get("--signal", "KILL"));
  const bool waits = number == 9 && !is_old(call.version);
  call.store.ask(id, (waits ? "killwait " : "kill ") + std::to_string(number));
  return {};
}

std::string delete_one(const Call& call, const std::string& id) {
  if (!call.store.exists(id)) return not_found(id);
  ContainerState state = call.store.state(id);
  Fd lock;
  if (!state.running && !state.orphaned) {
    // The machine may be booting: the daemon does one after the other.
    lock = call.store.lock(kStartLock);
    state = call.store.state(id);
  }
  if (state.running && !call.parsed.has("--force")) {
    return "invalidState: \"container " + id + " is running and can not be deleted\"";
  }
  if (state.running || state.orphaned) call.store.ask(id, "die");
  release_addresses(call.store, id);
  call.store.remove_container(id);
  return {};
}

}  // namespace

int command_create(const Call& call) {
  const std::string id = create_container(call);
  if (call.parsed.has("--cidfile")) write_file(call.parsed.get("--cidfile"), id);
  print_line(id);
  return 0;
}

int command_run(const Call& call) {
  show_progress(call, 6);
  const std::string id = create_container(call);
  const Json record = need_record(call, id);
  if (call.parsed.has("--cidfile")) write_file(call.parsed.get("--cidfile"), id);
  try {
    if (call.parsed.has("--detach")) {
      start_helper(call, id, record, false, false);
      print_line(id);
      return 0;
    }
    return start_attached(call, id, record, call.parsed.has("--interactive"));
  } catch (const CliError& error) {
    release_addresses(call.store, id);
    if (!call.store.state(id).running) call.store.remove_container(id);
    throw;
  }
}

int command_start(const Call& call) {
  const std::string& id = call.parsed.words[0];
  const Json record = need_record(call, id);
  const bool attached = call.parsed.has("--attach") || call.parsed.has("--interactive");
  if (call.store.state(id).running) {
    if (attached) fail("attach is currently unsupported on already running containers");
    print_line(id);
    return 0;
  }
  if (!attached) {
    start_helper(call, id, record, false, false);
    print_line(id);
    return 0;
  }
  return start_attached(call, id, record, call.parsed.has("--interactive"));
}

int command_stop(const Call& call) {
  if (call.parsed.has("--signal")) {
    checked_signal(call, call.parsed.get("--signal"), "failed to stop container");
  }
  return stop_all(call, chosen(call, true));
}

int command_kill(const Call& call) {
  if (call.parsed.has("--signal")) {
    checked_signal(call, call.parsed.get("--signal"), "failed to kill container");
  }
  return for_each_id(call, chosen(call, true), "failed to kill container", kill_one);
}

int command_delete(const Call& call) {
  return for_each_id(call, chosen(call, false), "failed to delete container", delete_one);
}

int command_prune(const Call& call) {
  for (const auto& id : call.store.container_ids()) {
    if (!call.store.state(id).running && delete_one(call, id).empty()) print_line(id);
  }
  write_all(is_old(call.version) ? STDOUT_FILENO : STDERR_FILENO,
            "Reclaimed Zero KB in disk space\n");
  return 0;
}

}  // namespace standin
