// The client of a streaming exec, holding a ticket of the task's gate until the command has ended:
// the reply brings only the session, and it is sessions, each with processes of its own, that are
// bounded.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "actors/gate.hpp"
#include "model/exec.hpp"

namespace ndc::actors {

class CountedExec final : public ExecClient {
 public:
  CountedExec(std::shared_ptr<ExecClient> client, Gate::Ticket ticket)
      : client_{std::move(client)}, ticket_{std::move(ticket)} {}

  void output(OutputStream stream, std::string bytes, std::function<void()> taken) override {
    client_->output(stream, std::move(bytes), std::move(taken));
  }

  // First there is room again: who is told may start the next command at once.
  void finished(Expected<ExitStatus> status) override {
    ticket_.reset();
    client_->finished(std::move(status));
  }

 private:
  std::shared_ptr<ExecClient> client_;
  Gate::Ticket ticket_;
};

}  // namespace ndc::actors
