#include "standin/commands.hpp"

#include <unistd.h>

#include "standin/view.hpp"

namespace standin {
namespace {

std::string last_word(std::string_view name) {
  return std::string(name.substr(name.find(' ') + 1));
}

}  // namespace

int run_command(const Call& call) {
  const auto name = call.parsed.command->name;
  if (name == "run") return command_run(call);
  if (name == "create") return command_create(call);
  if (name == "start") return command_start(call);
  if (name == "stop") return command_stop(call);
  if (name == "kill") return command_kill(call);
  if (name == "delete") return command_delete(call);
  if (name == "prune") return command_prune(call);
  if (name == "exec") return command_exec(call);
  if (name == "inspect") return command_inspect(call);
  if (name == "list") return command_list(call);
  if (name == "logs") return command_logs(call);
  if (name == "stats") return command_stats(call);
  if (name == "copy" || name == "export") return command_copy(call);
  if (name.starts_with("image ")) return command_image(call, last_word(name));
  if (name.starts_with("registry ")) return command_registry(call, last_word(name));
  if (name.starts_with("network ")) return command_network(call, last_word(name));
  if (name.starts_with("volume ")) return command_volume(call, last_word(name));
  return command_system(call, last_word(name));
}

void print_line(const std::string& text) { write_all(STDOUT_FILENO, text + "\n"); }

void show_progress(const Call& call, int steps) {
  const std::string mode = call.parsed.get("--progress", "auto");
  if (call.version == kOldest || (mode != "auto" && mode != "plain")) return;
  const std::string total = "/" + std::to_string(steps) + "] ";
  write_all(STDERR_FILENO, "[0" + total + "[0s]\n[1" + total +
                               "Fetching image 100% (7 of 7 blobs, 4.1/4.1 MB, 5.1 MB/s) [0s]\n");
}

void print_json(const Call& call, const Value& value, bool pretty) {
  std::string text = to_text(value, pretty, keys_of(call.version)) + "\n";
  if (call.fault && call.fault->kind == "garbage") text = "}{ not JSON \x01\xff\n";
  if (call.fault && call.fault->kind == "truncated") text.resize(text.size() / 2);
  write_all(STDOUT_FILENO, text);
}

void print_inspection(const Call& call, const Value& value) {
  print_json(call, value, !is_old(call.version));
}

int for_each_id(const Call& call, const std::vector<std::string>& ids, const std::string& failure,
                EachId each) {
  bool first = true;
  for (const auto& id : ids) {
    const std::string error = each(call, id);
    if (error.empty()) {
      print_line(id);
      continue;
    }
    const std::string text = "internalError: \"" + failure + "\" (cause: \"" + error + "\")\n";
    write_all(STDERR_FILENO, (first ? "Error: " : "") + text);
    first = false;
  }
  return first ? 0 : 1;
}

}  // namespace standin
