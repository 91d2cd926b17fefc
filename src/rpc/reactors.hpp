// gRPC's callback reactors, tied to Reply and StreamSink. No handler ever waits: it hands the call
// to the driver and returns.
//
// Each reactor lives until OnDone, which gRPC calls once after Finish; until then it may be used.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <grpcpp/support/server_callback.h>

#include "model/reply.hpp"
#include "model/stream.hpp"
#include "rpc/status.hpp"
#include "rpc/stopping.hpp"
#include "rpc/wire.hpp"

namespace ndc::rpc {

// While the plugin goes down at its host's request, errors look like a broken connection.
inline grpc::Status unless_stopping(const Stopping& stopping, grpc::Status status) {
  return !status.ok() && stopping.asked() ? shutting_down() : status;
}

inline grpc::Status not_answered() {
  return {grpc::StatusCode::UNKNOWN, "internal error: the call was dropped without an answer"};
}

// Nobody sees this status: the caller is gone.
inline grpc::Status given_up() { return {grpc::StatusCode::UNKNOWN, "the caller gave up"}; }

// A call with one request and one response. Whoever wins the Reply finishes the call: its answer,
// its loss, or the caller's cancellation, which abandons it.
template <class Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  UnaryCall(Response* response, std::shared_ptr<const Stopping> stopping)
      : response_{response}, stopping_{std::move(stopping)} {}

  // The reply that finishes this call. `fill` takes the answer, fills in the response and returns
  // the status. Once per call, before the handler returns.
  template <class T, class Fill>
  Reply<T> reply(Fill fill) {
    Reply<T> reply{[this, fill = std::move(fill)](std::optional<T> answer) {
      end(answer ? fill(*response_, std::move(*answer)) : not_answered());
    }};
    abandon_ = reply.abandoner();
    return reply;
  }

  // The same for commands that answer with an error or with nothing.
  Reply<Expected<void>> acknowledgement() {
    return reply<Expected<void>>([](Response&, Expected<void> done) {
      return done ? grpc::Status::OK : to_status(done.error());
    });
  }

  // Finishes a call that needed no reply.
  UnaryCall* end(grpc::Status status) {
    fill_required(*response_);
    Finish(unless_stopping(*stopping_, std::move(status)));
    return this;
  }

  void on_done(std::function<void()> then) { then_ = std::move(then); }

 private:
  void OnCancel() override {
    if (abandon_ && abandon_()) Finish(given_up());
  }
  void OnDone() override {
    if (then_) then_();
    delete this;
  }

  Response* response_;
  std::shared_ptr<const Stopping> stopping_;
  std::function<bool()> abandon_;
  std::function<void()> then_;
};

// A stream of values to the caller. Owns itself until the call is over; the producer may hold it
// for longer.
template <class Model, class Message>
class StreamCall final : public grpc::ServerWriteReactor<Message>, public StreamSink<Model> {
 public:
  using Encode = std::function<Message(const Model&)>;

  static std::shared_ptr<StreamCall> make(std::size_t backlog, Encode encode,
                                          std::shared_ptr<const Stopping> stopping) {
    std::shared_ptr<StreamCall> call{
        new StreamCall{backlog, std::move(encode), std::move(stopping)}};
    call->self_ = call;
    return call;
  }

  void next(Model value) override {
    Message message = encode_(value);
    fill_required(message);
    {
      const std::lock_guard lock{mutex_};
      if (status_) return;
      queue_.push_back(std::move(message));
      if (queue_.size() > backlog_) queue_.pop_front();
    }
    proceed();
  }

  void end(std::optional<Error> error) override {
    finish(unless_stopping(*stopping_, error                ? to_status(*error)
                                       : stopping_->asked() ? shutting_down()
                                                            : grpc::Status::OK));
  }

  bool closed() const override {
    const std::lock_guard lock{mutex_};
    return status_.has_value();
  }

 private:
  StreamCall(std::size_t backlog, Encode encode, std::shared_ptr<const Stopping> stopping)
      : backlog_{backlog}, encode_{std::move(encode)}, stopping_{std::move(stopping)} {}

  void finish(grpc::Status status, bool drop_queue = false) {
    {
      const std::lock_guard lock{mutex_};
      if (drop_queue) queue_.clear();
      if (!status_) status_ = std::move(status);
    }
    proceed();
  }

  // Starts whatever is due; one operation at a time, and never under the lock, because gRPC may
  // react from within the call.
  void proceed() {
    std::optional<grpc::Status> last;
    {
      const std::lock_guard lock{mutex_};
      if (busy_) return;
      if (!queue_.empty()) {
        writing_ = std::move(queue_.front());
        queue_.pop_front();
      } else if (status_) {
        last = *status_;
      } else {
        return;
      }
      busy_ = true;  // for ever, after Finish
    }
    if (last) {
      this->Finish(*last);
    } else {
      this->StartWrite(&writing_);
    }
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock{mutex_};
      busy_ = false;
    }
    if (ok) {
      proceed();
    } else {
      finish(given_up(), true);
    }
  }
  void OnCancel() override { finish(given_up(), true); }
  void OnDone() override { const auto self = std::move(self_); }

  const std::size_t backlog_;
  const Encode encode_;
  const std::shared_ptr<const Stopping> stopping_;
  std::shared_ptr<StreamCall> self_;

  mutable std::mutex mutex_;
  std::deque<Message> queue_;
  Message writing_;
  bool busy_ = false;
  std::optional<grpc::Status> status_;  // set: the call is over, or ends after the queue
};

}  // namespace ndc::rpc
