// How a container ends: seen from conmon as soon as it is there, and asked of podman where conmon
// cannot tell (it was killed, the OOM killer was at work, the plugin was away).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runtime/conmon_linux.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/podman_cli.hpp"
#include "runtime/podman_json.hpp"

namespace ndc::runtime {

// Loop thread only.
class PodmanExits : public std::enable_shared_from_this<PodmanExits> {
 public:
  PodmanExits(EventLoop& loop, std::shared_ptr<PodmanCli> cli, std::string state_dir);

  // Of a container that has just been started. `exited` runs once; the exit is unknown, with the
  // reason, where neither conmon nor podman can tell it.
  void watch(const ContainerRef& container, ExitSink exited);
  // As ContainerRuntime::attach.
  void attach(const ContainerRef& container, ExitSink exited, Done<Attached> done);

 private:
  // What podman is asked, and asked again.
  struct Question {
    ContainerRef container;
    std::optional<int> code;  // from conmon
    ExitSink exited;
    int tries = 0;
  };

  void follow(const ContainerRef& container, const Conmon& conmon, ExitSink exited);
  void attached(const ContainerRef& container, ExitSink exited, Expected<CommandResult> result,
                const Done<Attached>& done);
  void inspect(const ContainerRef& container, std::function<void(Expected<CommandResult>)> done);
  void ask(Question question);
  void answered(Question question, Expected<CommandResult> result);
  void ask_again(Question question, const std::string& why);
  void still_running(Question question, const PodmanContainer& found);
  bool oom_noted(const ContainerRef& container) const;

  EventLoop& loop_;
  std::shared_ptr<PodmanCli> cli_;
  std::shared_ptr<ExitWatch> watch_;
  std::string state_dir_;
};

}  // namespace ndc::runtime
