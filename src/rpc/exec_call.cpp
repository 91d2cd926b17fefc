// Bytes go straight between the caller and the command's ExecSession. Both directions are throttled
// by the slower side: the next request is read when the last input was taken, and the command's
// next output is asked for when the last one was written.
#include "rpc/exec_call.hpp"

#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "model/exec.hpp"
#include "rpc/reactors.hpp"
#include "rpc/task_codec.hpp"
#include "rpc/task_spec_codec.hpp"

namespace ndc::rpc {
namespace {

using Request = wire::ExecTaskStreamingRequest;
using Response = wire::ExecTaskStreamingResponse;

// Owns itself until OnDone; the driver may hold it longer, as the ExecClient that it is.
class ExecCall final : public ExecReactor,
                       public ExecClient,
                       public std::enable_shared_from_this<ExecCall> {
 public:
  ExecCall(actors::Driver& driver, std::shared_ptr<const Stopping> stopping)
      : driver_{driver}, stopping_{std::move(stopping)} {}

  void start() {
    self_ = shared_from_this();
    StartRead(&request_);
  }

  // --- the command's side ----------------------------------------------------------------------

  void output(OutputStream stream, std::string bytes, std::function<void()> taken) override {
    Response response;
    auto& data =
        stream == OutputStream::kStdout ? *response.mutable_stdout() : *response.mutable_stderr();
    data.set_data(std::move(bytes));
    if (push({std::move(response), taken})) {
      proceed();
    } else {
      taken();  // nobody listens: let the command run on into its cancellation
    }
  }

  void finished(Expected<ExitStatus> status) override {
    if (!status) {
      finish(to_status(status.error()));
      return;
    }
    auto result = to_exec_exit(*status);
    if (!result) {
      finish(to_status(result.error()));
      return;
    }
    Response out_closed;
    out_closed.mutable_stdout()->set_close(true);
    Response err_closed;
    err_closed.mutable_stderr()->set_close(true);
    // Alone in its message: receivers look at output first and would miss the exit.
    Response exit;
    exit.set_exited(true);
    *exit.mutable_result() = std::move(*result);
    push({std::move(out_closed), {}});
    push({std::move(err_closed), {}});
    push({std::move(exit), {}});
    finish(grpc::Status::OK);
  }

 private:
  struct Outgoing {
    Response response;
    std::function<void()> taken;
  };

  // --- the caller's side -----------------------------------------------------------------------

  void OnReadDone(bool ok) override {
    if (!ok) {
      // The caller half-closed, which ends no input (only `stdin.close` does), or the call is over.
      if (!set_up_) finish(refused("the stream ended before the setup"));
      return;
    }
    if (!set_up_) {
      set_up();
    } else {
      take_request();
    }
  }

  void set_up() {
    set_up_ = true;
    if (!request_.has_setup()) {
      finish(refused("the first message has no setup"));
      return;
    }
    const auto self = shared_from_this();
    driver_.exec_task_streaming(
        request_.setup().task_id(), to_exec_request(request_.setup()), self,
        Reply<Expected<std::shared_ptr<ExecSession>>>{
            [self](std::optional<Expected<std::shared_ptr<ExecSession>>> session) {
              self->begin(std::move(session));
            }});
  }

  // The reply is never abandoned, not even by a cancelled call: the session that it brings has to
  // be told.
  void begin(std::optional<Expected<std::shared_ptr<ExecSession>>> session) {
    if (!session) {
      finish(not_answered());
    } else if (!*session) {
      finish(to_status(session->error()));
    } else if (keep(**session)) {
      take_request();  // the setup's message may bring a size, too
    } else {
      (**session)->cancel();
    }
  }

  bool keep(std::shared_ptr<ExecSession> session) {
    const std::lock_guard lock{mutex_};
    if (cancelled_) return false;
    if (!done_) session_ = std::move(session);
    return true;
  }

  std::shared_ptr<ExecSession> session() const {
    const std::lock_guard lock{mutex_};
    return session_;
  }

  // One read is in flight or one request in work, never both, so request_ needs no lock.
  void take_request() {
    const auto session = this->session();
    if (!session) return;
    if (request_.has_tty_size()) session->resize(to_terminal_size(request_.tty_size()));
    const bool close = request_.stdin().close();
    if (request_.stdin().data().empty()) {
      if (close) session->close_stdin();
      read_next();
      return;
    }
    session->write(std::move(*request_.mutable_stdin()->mutable_data()),
                   [self = shared_from_this(), close] {
                     const auto current = self->session();
                     if (close && current) current->close_stdin();
                     self->read_next();
                   });
  }

  void read_next() {
    {
      const std::lock_guard lock{mutex_};
      if (status_) return;  // over, or about to be; the reactor may be gone for gRPC
      ++starting_;
    }
    request_.Clear();
    StartRead(&request_);
    {
      const std::lock_guard lock{mutex_};
      --starting_;
    }
    proceed();
  }

  // --- writing ---------------------------------------------------------------------------------

  bool push(Outgoing outgoing) {
    const std::lock_guard lock{mutex_};
    if (status_) return false;
    fill_required(outgoing.response);
    queue_.push_back(std::move(outgoing));
    return true;
  }

  // After the queue, the call ends with this status; the first one wins.
  void finish(grpc::Status status) {
    {
      const std::lock_guard lock{mutex_};
      if (!status_) status_ = unless_stopping(*stopping_, std::move(status));
    }
    proceed();
  }

  // Starts whatever is due; one write at a time, Finish once and last, none of it under the lock.
  void proceed() {
    std::optional<grpc::Status> last;
    {
      const std::lock_guard lock{mutex_};
      if (busy_) return;
      if (!queue_.empty()) {
        writing_ = std::move(queue_.front());
        queue_.pop_front();
      } else if (status_ && starting_ == 0) {
        last = *status_;
      } else {
        return;
      }
      busy_ = true;  // for ever, after Finish
    }
    if (last) {
      Finish(*last);
    } else {
      StartWrite(&writing_.response);
    }
  }

  void OnWriteDone(bool ok) override {
    auto taken = std::exchange(writing_.taken, nullptr);
    {
      const std::lock_guard lock{mutex_};
      busy_ = false;
    }
    if (taken) taken();
    if (ok) {
      proceed();
    } else {
      give_up();
    }
  }

  // --- the end ---------------------------------------------------------------------------------

  void OnCancel() override { give_up(); }

  void give_up() {
    std::deque<Outgoing> unsent;
    std::shared_ptr<ExecSession> session;
    {
      const std::lock_guard lock{mutex_};
      cancelled_ = true;
      unsent.swap(queue_);
      session = session_;
    }
    finish(given_up());
    for (const Outgoing& outgoing : unsent) {
      if (outgoing.taken) outgoing.taken();
    }
    if (session) session->cancel();
  }

  void OnDone() override {
    std::shared_ptr<ExecSession> session;
    {
      const std::lock_guard lock{mutex_};
      done_ = true;
      session.swap(session_);  // it holds callbacks that hold this
    }
    const auto self = std::move(self_);
  }

  static grpc::Status refused(std::string cause) {
    return to_status(
        {.code = ErrorCode::kInvalidConfig, .what = "exec", .cause = std::move(cause)});
  }

  actors::Driver& driver_;
  const std::shared_ptr<const Stopping> stopping_;
  std::shared_ptr<ExecCall> self_;
  Request request_;
  bool set_up_ = false;
  Outgoing writing_;  // owned by the write in flight

  mutable std::mutex mutex_;
  std::shared_ptr<ExecSession> session_;
  std::deque<Outgoing> queue_;
  std::optional<grpc::Status> status_;
  bool busy_ = false;
  bool cancelled_ = false;
  bool done_ = false;
  int starting_ = 0;  // StartRead calls under way: Finish waits for them
};

}  // namespace

ExecReactor* start_exec_call(actors::Driver& driver, std::shared_ptr<const Stopping> stopping) {
  auto call = std::make_shared<ExecCall>(driver, std::move(stopping));
  call->start();
  return call.get();
}

}  // namespace ndc::rpc
