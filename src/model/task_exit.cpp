#include "model/task_exit.hpp"

#include "model/signals.hpp"

namespace ndc {

std::string describe(const TaskExit& exit) {
  std::string text;
  if (const auto* exited = std::get_if<Exited>(&exit.status)) {
    text = "exit code " + std::to_string(exited->code);
  } else if (const auto* signalled = std::get_if<Signalled>(&exit.status)) {
    text = signal_name(signalled->signal);
  } else {
    text = "exit status unknown: " + std::get<UnknownExit>(exit.status).reason;
  }
  return exit.oom_killed ? text + ", out of memory" : text;
}

}  // namespace ndc
