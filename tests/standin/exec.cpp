// exec: a second process beside the workload, with a helper of its own.
#include <unistd.h>

#include <cstdlib>

#include "standin/attach.hpp"
#include "standin/commands.hpp"
#include "standin/plan.hpp"
#include "standin/values.hpp"

namespace standin {
namespace {

Plan plan_exec(const Call& call, const std::string& id, pid_t workload) {
  const Parsed& parsed = call.parsed;
  const auto record = call.store.record(id);
  if (!record) fail("get failed: container " + id + " not found");
  Plan plan = plan_container(call.store, *record, false);
  plan.words.assign(parsed.words.begin() + 1, parsed.words.end());
  // Appended, not merged: a name may be there twice.
  for (const auto& file : parsed.all("--env-file")) {
    for (auto& entry : read_env_file(file)) plan.env.push_back(std::move(entry));
  }
  for (const auto& entry : parsed.all("--env")) {
    if (auto full = inherit_env(entry)) plan.env.push_back(*std::move(full));
  }
  if (parsed.has("--workdir")) plan.cwd = parsed.get("--workdir");
  if (parsed.has("--user")) {
    plan.user = parsed.get("--user");
  } else if (parsed.has("--uid")) {
    plan.user = parsed.get("--uid") + (parsed.has("--gid") ? ":" + parsed.get("--gid") : "");
  } else if (parsed.has("--gid")) {
    plan.groups.push_back(
        static_cast<gid_t>(std::strtoul(parsed.get("--gid").c_str(), nullptr, 10)));
  }
  plan.tty = parsed.has("--tty");
  plan.remove_after = false;
  plan.join = workload;
  complete_env(&plan);
  return plan;
}

}  // namespace

int command_exec(const Call& call) {
  const Parsed& parsed = call.parsed;
  const std::string& id = parsed.words[0];
  if (!call.store.exists(id)) fail("get failed: container " + id + " not found");
  const ContainerState state = call.store.state(id);
  if (!state.running) fail("container " + id + " is not running");
  parse_ulimits(parsed.all("--ulimit"));
  const Plan plan = plan_exec(call, id, state.workload);

  HelperOptions helper;
  helper.attached = !parsed.has("--detach");
  helper.interactive = parsed.has("--interactive");
  helper.is_exec = true;
  AttachOptions options;
  options.version = call.version;
  options.interactive = helper.interactive;
  options.tty = plan.tty;
  options.three_signals_end_it = true;
  options.fault = call.fault;
  if (helper.attached && options.interactive && options.tty && isatty(STDIN_FILENO) == 0) {
    fail("stdin is not a terminal");
  }
  Connection connection = launch_helper(plan, helper);
  await_start(connection);
  if (!helper.attached) {
    print_line(id);
    return 0;
  }
  const AttachResult result = attach(std::move(connection), options);
  if (result.kind == AttachResult::Kind::undrained) {
    fail("failed to exec process: CancellationError()");
  }
  return result.code & 0xff;
}

}  // namespace standin
