// The CLI's side of an attached process: copies streams, delivers the exit code to the one caller
// that attached, with the deadlines and the defects of the imitated CLI.
#pragma once

#include <optional>
#include <string>

#include "standin/faults.hpp"
#include "standin/helper.hpp"
#include "standin/version.hpp"

namespace standin {

struct AttachOptions {
  Version version = kNewest;
  bool interactive = false;
  bool tty = false;
  bool three_signals_end_it = false;  // run and exec; not start
  std::optional<Fault> fault;         // die: SIGKILL so many ms after the start
};

struct AttachResult {
  enum class Kind { exited, undrained, lost, escaped };
  Kind kind = Kind::exited;
  int code = 0;
};

/// Waits for the helper's first line: throws CliError(1) with its reason if nothing was started.
void await_start(const Connection& connection);

AttachResult attach(Connection connection, const AttachOptions& options);

}  // namespace standin
