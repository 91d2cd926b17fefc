// One output stream in the monitor: from the CLI's pipe or terminal into the log collector's FIFO,
// and what the FIFO does not take at once into a spool. Part of the monitor: plain calls, no
// allocation once it runs.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "runtime/monitor_spool.hpp"
#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

// Milliseconds of a clock that only goes forward.
std::int64_t monotonic_ms();

class Channel {
 public:
  // Paths outlive the channel. `limit`: bytes in the spool past which the source is read slowly
  // only, so that the workload waits; past twice of it not at all.
  Channel(const char* sink_path, const char* spool_path, std::uint64_t limit)
      : sink_path_{sink_path}, spool_{spool_path}, limit_{limit} {}

  // Where the bytes come from; none in a process that only delivers what another left.
  void set_source(UniqueFd source) { source_ = std::move(source); }
  // The last bytes that went by are remembered.
  void keep_tail(char* buffer, std::size_t size) { tail_ = {buffer, size, 0}; }
  bool restore() { return spool_.restore(); }

  int source() const { return source_.get(); }
  int sink() const { return sink_.get(); }
  bool wants_source(std::int64_t now) const;
  bool wants_sink() const { return sink_ && spool_.pending() > 0; }
  // Milliseconds until tick() has something to do; -1: nothing.
  int patience(std::int64_t now) const;

  // The FIFO's path has not been looked at for a while.
  bool due(std::int64_t now) const;

  // Reads once. False when there was nothing (any more), or what was read before has no place yet.
  bool read_source(std::int64_t now);
  // Neither FIFO nor disk has taken the last bytes read: the source has to wait.
  bool holds() const { return held_ > 0; }
  // The source is at its end, or given up.
  void close_source() { source_.reset(); }
  void write_sink(std::int64_t now);
  // Opens a missing FIFO, and goes over to a new one that has taken its place.
  void tick(std::int64_t now);

  // Nothing is pending here, and nothing is in the FIFO either: its reader has it all.
  bool delivered() const;
  // Nothing comes any more: lets go of the FIFO for good. A log collector that still sees a writer
  // when Nomad starts the task again is used again, and ends when that writer goes.
  void finish();
  // Takes back what nobody has read from the FIFO, for a later process to deliver. False when the
  // disk has no room for it: then it stays where it was.
  bool take_back();
  // take_back(), and behind it what has found no place yet: the spool has all that is not
  // delivered, unless the disk is full.
  void keep();

  std::size_t tail_size() const { return tail_.used; }

 private:
  struct Tail {
    char* bytes = nullptr;
    std::size_t size = 0;
    std::size_t used = 0;
  };
  void open_sink();
  std::size_t write_now(const char* bytes, std::size_t size);
  void place_held();
  void remember(const char* bytes, std::size_t size);
  bool unread() const;

  const char* sink_path_;
  UniqueFd source_;
  UniqueFd sink_;
  bool finished_ = false;
  dev_t sink_device_ = 0;
  ino_t sink_inode_ = 0;
  Spool spool_;
  std::uint64_t limit_;
  std::int64_t checked_ = 0;    // when the FIFO was looked at last
  std::int64_t slow_read_ = 0;  // when the source was read last
  Tail tail_;
  // What was read when there was no place for it. Not initialized, and not memory until it is used.
  std::size_t held_ = 0;
  char held_bytes_[32u << 10];
};

}  // namespace ndc::runtime
