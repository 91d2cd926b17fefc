// Files and descriptors: whole reads, atomic writes, locks, deadlines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace standin {

/// A descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

/// Exclusive until it is destroyed; blocks.
Fd lock_file(const std::string& path);
/// Whether another process holds lock_file's lock on it. A missing file is not held.
bool is_locked(const std::string& path);

std::optional<std::string> read_file(const std::string& path);
/// Readers see the old or the new content. Mode 0600.
bool write_file(const std::string& path, const std::string& text);
/// One write(2), so that lines of several processes do not mix.
bool append_line(const std::string& path, const std::string& line);
bool make_directories(const std::string& path);
void remove_tree(const std::string& path);
/// Names without the ones that begin with a dot, sorted.
std::vector<std::string> list_directory(const std::string& path);

bool write_all(int fd, const std::string& text);

int64_t now_ms();    // monotonic
double unix_time();  // seconds
void sleep_ms(int64_t ms);

struct Pipe {
  Fd read;
  Fd write;
};
Pipe make_pipe();  // close-on-exec

}  // namespace standin
