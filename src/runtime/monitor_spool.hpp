// A queue of bytes in a file, for output that the log collector does not take in time. How much of
// it was delivered is kept in the file itself, so that a successor goes on where a killed process
// stopped. Part of the monitor: no allocation, no exception.
#pragma once

#include <cstdint>

#include "runtime/unique_fd.hpp"

namespace ndc::runtime {

class Spool {
 public:
  // `path` must outlive the spool. Nothing is opened before it is needed.
  explicit Spool(const char* path) : path_{path} {}

  // Takes over what an earlier process left. False (errno) if the file cannot be read. A damaged
  // one stays until something is appended: the plugin tells that what was in it is lost.
  bool restore();

  // Behind everything that is pending. False (errno) if the disk does not take it: nothing of it
  // counts then.
  bool append(const char* bytes, std::size_t size);
  // Before everything that is pending: bytes that were delivered, but not taken after all.
  bool prepend(const char* bytes, std::size_t size);
  // Up to `size` of the first pending bytes; 0 if none, or unreadable.
  std::size_t peek(char* bytes, std::size_t size) const;
  // The first `size` pending bytes are delivered. The file shrinks when all are, and is written
  // anew once half of it, and 1 MiB at least, has been delivered.
  void consume(std::size_t size);

  std::uint64_t pending() const { return end_ - delivered_; }

  // What a spool at `path` holds, without taking it over.
  static std::uint64_t pending_in(const char* path);
  // Something is at `path` whose bytes cannot be made out: its header is cut off, damaged or of
  // another version, it was cut in front of its position, or it is no file of this user. An empty
  // one was begun, and whoever was killed then had bytes for it. One that was cut behind its
  // position, or right behind its header, is not told from one that never had more.
  static bool damaged(const char* path);

 private:
  // Fewer delivered bytes are not worth a new file.
  static constexpr std::uint64_t kRewrite = 1u << 20;

  bool open();
  bool save_position() const;
  void drop();
  bool replacement(char (&path)[1024]) const;
  bool rewrite(const char* before, std::size_t size);

  const char* path_;
  UniqueFd file_;
  std::uint64_t delivered_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t rewrite_at_ = kRewrite;  // not before so many bytes are delivered
};

}  // namespace ndc::runtime
