// The CLI that is attached to the container, as the monitor's child: its pipes or terminal, and how
// it ends. Part of the monitor: plain calls, no allocation.
#pragma once

#include <sys/types.h>

#include "runtime/monitor_channel.hpp"
#include "runtime/monitor_files.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

class AttachedCli {
 public:
  // Its output goes into the channels; with a terminal all of it into `out`. False (errno) if it
  // did not get as far as running the program.
  bool start(char** command, MonitorStreams streams, Channel& out, Channel& err);

  // 0 before it runs and after it was reaped.
  pid_t pid() const { return pid_; }
  // True, with the status of waitpid(), once it has ended; from then on it is gone.
  bool reap(int& status);
  void kill() const;
  // Nothing without a terminal.
  void resize(int rows, int columns) const;

 private:
  bool make_terminal(UniqueFd& slave);
  [[noreturn]] void run(char** command, MonitorStreams streams, const UniqueFd (&theirs)[2],
                        int report) const;

  pid_t pid_ = 0;
  UniqueFd terminal_;  // for its size; the channel reads a copy
  char terminal_name_[128] = {};
};

}  // namespace ndc::runtime
