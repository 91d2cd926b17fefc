// A stand-in for Apple's `container` CLI, for tests and for development without a Mac. README.md
// says what it imitates and how tests steer it.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "standin/check.hpp"
#include "standin/commands.hpp"
#include "standin/helper.hpp"
#include "standin/settings.hpp"

namespace standin {
namespace {

constexpr const char* kXpcError =
    "interrupted: \"XPC connection error: Connection invalid\"\n"
    "Ensure container system service has been started with `container system start`.";

// argv after argv in, verdict after verdict out.
int parse_only(Version version) {
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto json = parse_json(line);
    if (!json || !json->IsArray()) {
      std::cout << "error not a JSON array of strings" << std::endl;
      continue;
    }
    std::vector<std::string> argv;
    for (const auto& word : json->GetArray()) {
      argv.emplace_back(word.IsString() ? word.GetString() : "", word.GetStringLength());
    }
    Verdict verdict = check(version, argv);
    for (char& c : verdict.text) {
      if (c == '\n') c = ' ';
    }
    if (verdict.code == 0) {
      std::cout << "ok " << verdict.text << '\n';
    } else {
      std::cout << verdict.code << ' ' << verdict.text << '\n';
    }
    if (std::cin.rdbuf()->in_avail() <= 0) std::cout.flush();
  }
  return 0;
}

void record_call(const Store& store, const char* file, Version version, const std::string& command,
                 const std::vector<std::string>& argv, const std::string& error,
                 const std::optional<Fault>& fault = std::nullopt) {
  Json json(rapidjson::kObjectType);
  auto& alloc = json.GetAllocator();
  put(json, "time", Value(unix_time()), alloc);
  put(json, "pid", Value(static_cast<int64_t>(getpid())), alloc);
  put(json, "version", to_string(version), alloc);
  put(json, "command", command, alloc);
  put(json, "argv", strings(argv, alloc), alloc);
  if (!error.empty()) put(json, "error", error, alloc);
  if (fault) put(json, "fault", fault->of + " " + fault->kind, alloc);
  append_line(store.path(file), to_plain_text(json));
}

bool needs_daemon(std::string_view name) {
  return name != "system status" && name != "system version" && name != "system start";
}

[[noreturn]] void hang() {
  while (true) pause();
}

// Faults that come before the command does anything; the rest is left to it.
void apply_before(const Call& call) {
  if (!call.fault) return;
  const Fault& fault = *call.fault;
  const auto name = call.parsed.command->name;
  if (fault.kind == "hang") hang();
  while (fault.kind == "wait" && access(fault.path.c_str(), F_OK) == 0) sleep_ms(5);
  if (fault.kind == "slow") sleep_ms(fault.number);
  if (fault.kind == "xpc" && needs_daemon(name)) fail(kXpcError);
  if (fault.kind == "exit") {
    throw CliError(static_cast<int>(fault.number), fault.text.empty() ? "fault" : fault.text);
  }
  const bool attaches = name == "run" || name == "exec" || name == "start";
  if (fault.kind == "die" && !attaches) {
    sleep_ms(fault.number);
    raise(SIGKILL);
  }
}

void apply_after(const Call& call) {
  if (!call.fault) return;
  if (call.fault->kind == "hang-after") hang();
  if (call.fault->kind == "xpc-after") fail(kXpcError);
  if (call.fault->kind == "die-after") raise(SIGKILL);
}

int run(Version version, const std::vector<std::string>& argv) {
  std::string root = setting("STATE");
  if (root.empty()) {
    const char* home = std::getenv("HOME");
    root = std::string(home == nullptr ? "/tmp" : home) + "/.container-standin";
  }
  const Store store(root);
  Parsed parsed;
  try {
    parsed = parse(version, argv);
  } catch (const CliError& error) {
    if (error.code() == 64) record_call(store, "rejected.jsonl", version, "", argv, error.what());
    if (error.code() == 0 && error.what() == version_line(version)) {
      record_call(store, "calls.jsonl", version, "version", argv, "");
    }
    throw;
  }
  const Call call{version, store, parsed, take_fault(store, parsed.command->name)};
  record_call(store, "calls.jsonl", version, std::string(parsed.command->name), argv, "",
              call.fault);
  apply_before(call);
  const bool crashed = crash_daemon(store);
  if ((crashed || daemon_is_down(store)) && needs_daemon(parsed.command->name)) fail(kXpcError);
  const int code = run_command(call);
  apply_after(call);
  return code;
}

}  // namespace
}  // namespace standin

int main(int argc, char** argv) {
  using namespace standin;
  load_settings(argv[0]);
  remember_arguments(argc, argv);
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto version = parse_version(setting("VERSION", std::string(to_string(kNewest))));
  if (!version) {
    std::fprintf(stderr, "Error: NDC_STANDIN_VERSION=%s is not known to the stand-in\n",
                 setting("VERSION").c_str());
    return 1;
  }
  try {
    if (!setting("PARSE_ONLY").empty()) return parse_only(*version);
    return run(*version, words);
  } catch (const CliError& error) {
    if (error.code() == 0) {
      std::printf("%s\n", error.what());
      return 0;
    }
    if (error.code() == 133) {  // the imitated CLI traps here
      signal(SIGTRAP, SIG_DFL);
      raise(SIGTRAP);
    }
    std::fprintf(stderr, "Error: %s\n", error.what());
    if (error.code() == 64) std::fprintf(stderr, "%s\n", usage(words, *version).c_str());
    return error.code();
  }
}
