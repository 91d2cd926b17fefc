// Collects the output of a command for ExecTask: the last 4096 bytes of each stream, as Nomad's own
// drivers keep them, however much the command prints.
#pragma once

#include <string>
#include <utility>

#include "model/exec.hpp"
#include "model/reply.hpp"

namespace ndc::actors {

class ExecCollector final : public ExecClient {
 public:
  explicit ExecCollector(Reply<Expected<ExecResult>> reply) : reply_{std::move(reply)} {}

  void output(OutputStream stream, std::string bytes, std::function<void()> taken) override {
    std::string& tail = stream == OutputStream::kStdout ? result_.stdout_tail : result_.stderr_tail;
    tail += bytes;
    if (tail.size() > kTail) tail.erase(0, tail.size() - kTail);
    taken();
  }

  void finished(Expected<ExitStatus> status) override {
    if (!status) {
      reply_(fail(std::move(status.error())));
      return;
    }
    result_.status = *status;
    reply_(std::move(result_));
  }

 private:
  static constexpr std::size_t kTail = 4096;
  Reply<Expected<ExecResult>> reply_;
  ExecResult result_;
};

}  // namespace ndc::actors
