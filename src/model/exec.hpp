// Commands run inside a task's container. The bytes of a streaming exec go straight between the
// caller (ExecClient) and the runtime's process (ExecSession), each side telling the other when it
// can take more: they never queue up in an actor's mailbox.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "model/task_exit.hpp"

namespace ndc {

struct TerminalSize {
  int rows = 0;
  int columns = 0;
};

struct ExecRequest {
  std::vector<std::string> command;
  bool tty = false;
  std::optional<std::chrono::nanoseconds> timeout;  // none: no limit
};

enum class OutputStream { kStdout, kStderr };

// The caller's side. Methods run on the runtime's event loop thread and must not block.
class ExecClient {
 public:
  ExecClient() = default;
  ExecClient(const ExecClient&) = delete;
  ExecClient& operator=(const ExecClient&) = delete;
  virtual ~ExecClient() = default;

  // Output of the command. No more of this stream arrives until `taken` is called (any thread).
  virtual void output(OutputStream stream, std::string bytes, std::function<void()> taken) = 0;

  // The last call: the command ended with this status after all its output was handed over, or the
  // exec failed. Never both.
  virtual void finished(Expected<ExitStatus> status) = 0;
};

// The command's side. Any thread; all calls are harmless after the command ended.
class ExecSession {
 public:
  ExecSession() = default;
  ExecSession(const ExecSession&) = delete;
  ExecSession& operator=(const ExecSession&) = delete;
  virtual ~ExecSession() = default;

  // Appends to stdin. Send no more until `taken` is called.
  virtual void write(std::string bytes, std::function<void()> taken) = 0;
  virtual void close_stdin() = 0;
  virtual void resize(TerminalSize size) = 0;
  // Ends the command, also inside the container. finished() follows.
  virtual void cancel() = 0;
};

// Result of a collected (non-streaming) exec. Each stream holds at most its last 4096 bytes, as
// Nomad's own drivers do.
struct ExecResult {
  std::string stdout_tail;
  std::string stderr_tail;
  ExitStatus status;
};

}  // namespace ndc
