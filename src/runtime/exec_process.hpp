// A child process whose streams belong to an ExecClient: pipes, or a pseudo-terminal. Output is
// read up to 4 MiB a stream ahead of what the client takes, then only as fast as that; input is
// written only as fast as the child reads it.
#pragma once

#include <functional>
#include <memory>

#include "model/exec.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/process.hpp"
#include "runtime/pty.hpp"

namespace ndc::runtime {

struct ExecProcessOptions {
  // Runs when the command must end early (cancel, time-out), before the child is killed: the
  // adapter ends the process inside the container here. May be empty.
  std::function<void()> terminate_inside;
  // Turns the child's own exit into the command's status or an error (an engine's CLI has codes of
  // its own). `err_tail` is the last 4 KiB of stderr.
  std::function<Expected<ExitStatus>(const ExitStatus&, const std::string& err_tail)> interpret;
  // Of the terminal that the child gets with `request.tty`.
  TerminalMode terminal = TerminalMode::kLine;
};

// Loop thread only. `command.out/err` are ignored. `request.tty` gives the child a terminal;
// `request.timeout` ends the command with kTimeout. Failure to spawn is the returned error and the
// client hears nothing.
Expected<std::shared_ptr<ExecSession>> start_exec(EventLoop& loop, Command command,
                                                  const ExecRequest& request,
                                                  std::shared_ptr<ExecClient> client,
                                                  ExecProcessOptions options);

}  // namespace ndc::runtime
