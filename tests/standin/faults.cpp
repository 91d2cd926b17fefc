#include "standin/faults.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "standin/text.hpp"
#include "standin/version.hpp"

namespace standin {
namespace {

std::optional<Fault> take_from(const Store& store, const std::string& name) {
  const std::string path = store.path("faults/" + name);
  if (access(path.c_str(), F_OK) != 0) return std::nullopt;
  const Fd lock = store.lock("faults/.lock");
  auto content = read_file(path);
  if (!content) return std::nullopt;
  std::string line = trim(*content);
  // "… times 3": used up after three calls.
  if (const auto at = line.rfind(" times "); at != std::string::npos) {
    const long left = std::strtol(line.c_str() + at + 7, nullptr, 10);
    line.erase(at);
    if (left <= 1) {
      unlink(path.c_str());
    } else {
      write_file(path, line + " times " + std::to_string(left - 1) + "\n");
    }
    if (left < 1) return std::nullopt;
  }
  Fault fault;
  fault.of = name;
  fault.path = path;
  const auto space = line.find(' ');
  fault.kind = line.substr(0, space);
  if (space != std::string::npos) {
    char* end = nullptr;
    fault.number = std::strtol(line.c_str() + space, &end, 10);
    fault.text = trim(end);
  }
  return fault;
}

}  // namespace

std::optional<Fault> take_fault(const Store& store, std::string_view command) {
  std::string name(command);
  std::replace(name.begin(), name.end(), ' ', '-');
  if (auto fault = take_from(store, name)) return fault;
  return take_from(store, "all");
}

std::string forced_state(const Store& store, const std::string& id) {
  const auto text = read_file(store.path("faults/state/" + id));
  return text ? trim(*text) : "";
}

bool hides_start_dates(const Store& store) {
  return access(store.path("faults/no-start-dates").c_str(), F_OK) == 0;
}

bool crash_daemon(const Store& store) {
  if (unlink(store.path("faults/daemon-crash").c_str()) != 0) return false;
  std::vector<std::string> running;
  for (const auto& id : store.container_ids()) {
    if (store.state(id).running) running.push_back(id);
  }
  store.next_epoch();
  for (const auto& id : running) {
    const auto record = store.record(id);
    const bool reaped = record && get_bool((*record)["settings"], "rm");
    store.ask(id, reaped ? "die" : "lost");
    if (reaped) store.remove_container(id);
  }
  return true;
}

bool daemon_is_down(const Store& store) {
  return access(store.path("faults/daemon-down").c_str(), F_OK) == 0;
}

}  // namespace standin
