// Copies a growing k8s-file log into the collector's FIFO, woken by changes of the file and by room
// in the FIFO; never blocks and never polls. Loop thread only, except for construction.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/error.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/k8s_log.hpp"
#include "runtime/unique_fd.hpp"
#include "runtime/uv_handle.hpp"

namespace ndc::runtime {

class LogPump : public std::enable_shared_from_this<LogPump> {
 public:
  explicit LogPump(EventLoop& loop) : loop_{loop} {}

  // Begins, or goes on where "<log_path>.delivered" says, as soon as no other pump copies this log:
  // that of a log forwarder that failed does so until the task lets go of its route. `sink` is
  // non-blocking.
  void follow(std::string log_path, std::shared_ptr<UniqueFd> sink,
              std::function<void(Error)> failed);
  // To the end of the log, then stop(), then `drained`, for everybody who asked. Gives up when the
  // FIFO takes nothing for 5 s.
  void finish(std::function<void()> drained);
  void stop();

 private:
  enum class State { kIdle, kFollowing, kFinishing, kStopped };

  void take_position();
  void begin();
  bool open_log();
  void restore_position(std::uint64_t inode, std::uint64_t size);
  void save_position();
  void watch();
  void pump();
  bool read_chunk();
  bool reopen_if_replaced();
  bool write_chunk();
  void advance(std::size_t written);
  void wait_for_room();
  void expect_progress();
  void give_up(const std::string& step, const std::string& cause, std::string hint = {});

  EventLoop& loop_;
  std::shared_ptr<UniqueFd> sink_;
  State state_ = State::kIdle;
  std::string log_path_;
  UniqueFd log_;
  UniqueFd position_;     // locked by the pump that copies
  bool copying_ = false;  // the position is ours
  std::shared_ptr<EventLoop::Timer> retry_;
  std::uint64_t inode_ = 0;
  UvHandle<uv_fs_event_t> watch_;
  UvHandle<uv_poll_t> room_;
  std::uint64_t base_ = 0;  // of chunk_ in the log
  std::size_t skip_ = 0;    // text bytes of the record at base_ that were delivered earlier
  DecodedLog chunk_;
  std::size_t written_ = 0;  // of chunk_.text
  std::size_t next_record_ = 0;
  std::vector<char> buffer_;
  bool progressed_ = false;
  std::shared_ptr<EventLoop::Timer> patience_;
  std::function<void(Error)> failed_;
  std::vector<std::function<void()>> drained_;
};

}  // namespace ndc::runtime
