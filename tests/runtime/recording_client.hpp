// The caller's side of an exec that remembers what it is told.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "model/exec.hpp"
#include "runtime/machine.hpp"

namespace ndc::test {

// Records everything; takes output at once, or one piece whenever take_one() is called.
class RecordingClient : public ExecClient {
 public:
  explicit RecordingClient(bool eager = true) : eager_{eager} {}

  void output(OutputStream stream, std::string bytes, std::function<void()> taken) override {
    {
      const std::lock_guard lock{mutex_};
      (stream == OutputStream::kStdout ? out_ : err_) += bytes;
      if (finished_.is_set()) after_the_end_ = true;
      if (!eager_) waiting_.push_back(taken);
      changed_.notify_all();
    }
    if (eager_) taken();
  }
  void finished(Expected<ExitStatus> status) override {
    finished_.set(std::move(status));
    const std::lock_guard lock{mutex_};
    changed_.notify_all();
  }

  void take_one() {
    std::function<void()> taken;
    {
      const std::lock_guard lock{mutex_};
      REQUIRE_FALSE(waiting_.empty());
      taken = waiting_.front();
      waiting_.pop_front();
    }
    taken();
  }
  // Takes each piece as it comes, until the command has ended.
  Expected<ExitStatus> take_all() {
    for (;;) {
      {
        std::unique_lock lock{mutex_};
        REQUIRE(changed_.wait_for(lock, kDeadline, [&] { return ended() || !waiting_.empty(); }));
        if (waiting_.empty()) break;
      }
      take_one();
    }
    return end();
  }
  void wait_for_output(const std::string& text) {
    std::unique_lock lock{mutex_};
    const bool seen =
        changed_.wait_for(lock, kDeadline, [&] { return out_.find(text) != std::string::npos; });
    INFO(out_);
    REQUIRE(seen);
  }
  bool wait_for_piece() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, kDeadline, [&] { return !waiting_.empty(); });
  }
  std::size_t pieces_waiting() {
    const std::lock_guard lock{mutex_};
    return waiting_.size();
  }
  std::string out() {
    const std::lock_guard lock{mutex_};
    return out_;
  }
  std::size_t out_size() {
    const std::lock_guard lock{mutex_};
    return out_.size();
  }
  std::string err() {
    const std::lock_guard lock{mutex_};
    return err_;
  }
  Expected<ExitStatus> end() {
    auto status = finished_.get();
    CHECK(finished_.times() == 1);
    CHECK_FALSE(after_the_end_);
    return status;
  }
  bool ended() const { return finished_.is_set(); }

 private:
  bool eager_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_;
  std::string err_;
  bool after_the_end_ = false;
  std::deque<std::function<void()>> waiting_;
  Awaited<Expected<ExitStatus>> finished_;
};

}  // namespace ndc::test
