// A pseudo-terminal and the way to give it to a child as its controlling terminal, which libuv's
// spawn cannot.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/exec.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

struct Pty {
  UniqueFd master;
  UniqueFd slave;
};

// kRaw is for a child that relays to a terminal elsewhere: an engine's CLI makes its own terminal
// raw only when it is ready, and what is typed before would be echoed twice.
enum class TerminalMode { kLine, kRaw };

// Both ends close-on-exec. The error is kInternal.
Expected<Pty> open_pty(TerminalMode mode = TerminalMode::kLine);

// False (errno) if the terminal does not take it. Tells the foreground process group (SIGWINCH).
bool set_size(int master, TerminalSize size);

struct SpawnFailure {
  const char* step = "";
  int error = 0;  // errno; 0: no failure
};

// Starts `file` in a new session with `slave` as controlling terminal and fds 0, 1, 2, and with
// `extra_fd` (-1: none) as fd 3. Default signal dispositions. The child's pid, or -1 with `failure`
// set. The caller reaps.
pid_t spawn_on_pty(const std::string& file, const std::vector<std::string>& argv,
                   const std::vector<std::string>& environment, const std::string& directory,
                   int slave, int extra_fd, SpawnFailure& failure);

}  // namespace ndc::runtime
