#include "runtime/log_pump.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <spdlog/spdlog.h>

#include "runtime/crash_point.hpp"
#include "runtime/log_position.hpp"
#include "runtime/own_file.hpp"

namespace ndc::runtime {
namespace {

constexpr std::size_t kChunk = 64 * 1024;
constexpr std::size_t kLongestRecord = 1024 * 1024;  // conmon's are at most 8 KiB of text
constexpr int kChunksInOneGo = 16;                   // then others on the loop get their turn
constexpr std::chrono::seconds kPatience{5};
// Nothing tells when a lock is free.
constexpr std::chrono::milliseconds kLockPause{50};

ssize_t retry_read(int fd, char* to, std::size_t size, std::uint64_t offset) {
  ssize_t count = 0;
  do {
    count = ::pread(fd, to, size, static_cast<off_t>(offset));
  } while (count < 0 && errno == EINTR);
  return count;
}

}  // namespace

// ---- following
// -----------------------------------------------------------------------------------

void LogPump::follow(std::string log_path, std::shared_ptr<UniqueFd> sink,
                     std::function<void(Error)> failed) {
  if (state_ != State::kIdle) return;
  state_ = State::kFollowing;
  sink_ = std::move(sink);
  log_path_ = std::move(log_path);
  failed_ = std::move(failed);
  position_ = UniqueFd{
      ::open((log_path_ + ".delivered").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!position_) return give_up("open " + quoted(log_path_ + ".delivered"), std::strerror(errno));
  copying_ = false;
  take_position();
}

// Two pumps at once would both write what comes, and the position of one would undo the other's.
// The lock goes with the descriptor, also when the plugin is killed. A file system without locks is
// no reason to deliver nothing.
void LogPump::take_position() {
  if (state_ != State::kFollowing && state_ != State::kFinishing) return;
  if (::flock(position_.get(), LOCK_EX | LOCK_NB) != 0 &&
      (errno == EWOULDBLOCK || errno == EINTR)) {
    retry_ = loop_.after(kLockPause, [self = shared_from_this()] { self->take_position(); });
    return;
  }
  copying_ = true;
  begin();
}

// The log is opened only now: what its position says is final.
void LogPump::begin() {
  if (!open_log() && errno != ENOENT) {
    return give_up("open " + quoted(log_path_), std::strerror(errno));
  }
  if (state_ == State::kFollowing) watch();
  if (!log_ && state_ == State::kFollowing && open_log()) watch();  // made before we watched
  pump();
}

bool LogPump::open_log() {
  log_ = UniqueFd{::open(log_path_.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!log_) return false;
  struct stat info {};
  if (::fstat(log_.get(), &info) != 0) return false;
  inode_ = static_cast<std::uint64_t>(info.st_ino);
  restore_position(inode_, static_cast<std::uint64_t>(info.st_size));
  return true;
}

// Of another file (rotated), past the end (truncated) or damaged: from the start. What is repeated
// is not lost.
void LogPump::restore_position(std::uint64_t inode, std::uint64_t size) {
  base_ = 0;
  skip_ = 0;
  chunk_ = {};
  written_ = 0;
  next_record_ = 0;
  char text[96];
  const ssize_t got = retry_read(position_.get(), text, sizeof text, 0);
  if (got == 0) return;  // made just now
  struct stat info {};
  std::optional<LogPosition> saved;
  if (got > 0 && ::fstat(position_.get(), &info) == 0 && is_own_file(info)) {
    saved = parse_log_position({text, static_cast<std::size_t>(got)});
  }
  if (!saved) {
    spdlog::warn("{}.delivered is damaged: the log is delivered from its start again", log_path_);
    return;
  }
  if (saved->inode != inode || saved->offset > size) return;
  base_ = saved->offset;
  skip_ = static_cast<std::size_t>(saved->skip);
}

// Fixed width, one write: a reader never sees half of an old and half of a new position.
void LogPump::save_position() {
  const bool in_record = next_record_ < chunk_.records.size();
  const LogRecordEnd done = next_record_ == 0 ? LogRecordEnd{} : chunk_.records[next_record_ - 1];
  const std::uint64_t skip = in_record ? written_ - done.text : 0;
  const std::string text = log_position_text({inode_, base_ + done.log, skip});
  // A failure costs repeated output after a crash, nothing now.
  [[maybe_unused]] const ssize_t written = ::pwrite(position_.get(), text.data(), text.size(), 0);
}

// The log, or its directory as long as there is no log.
void LogPump::watch() {
  const std::string path =
      log_ ? log_path_ : log_path_.substr(0, std::max<std::size_t>(log_path_.rfind('/'), 1));
  int error = watch_.open(loop_.uv(), shared_from_this(), uv_fs_event_init);
  if (error == 0) {
    error = uv_fs_event_start(
        watch_.get(),
        [](uv_fs_event_t* handle, const char*, int, int status) {
          const auto pump = owner_of<LogPump>(handle);
          if (!pump || pump->state_ == State::kStopped) return;
          if (status < 0) return pump->give_up("watch the log", uv_strerror(status));
          if (!pump->log_ && pump->open_log()) pump->watch();
          pump->pump();
        },
        path.c_str(), 0);
  }
  if (error == 0) return;
  watch_.close();
  give_up("watch " + quoted(path), uv_strerror(error),
          "fs.inotify.max_user_watches or max_user_instances may be too low");
}

// ---- copying
// -------------------------------------------------------------------------------------

void LogPump::pump() {
  for (int chunks = 0; chunks < kChunksInOneGo; ++chunks) {
    if (state_ != State::kFollowing && state_ != State::kFinishing) return;
    if (!write_chunk()) return;  // called again when there is room
    if (!read_chunk()) {
      if (state_ == State::kFinishing) stop();
      return;  // called again when the log grows
    }
  }
  loop_.post([self = shared_from_this()] { self->pump(); });
}

// False at the end of the log, for now.
bool LogPump::read_chunk() {
  if (!log_) return false;
  std::size_t size = kChunk;
  while (true) {
    buffer_.resize(size);
    const ssize_t count = retry_read(log_.get(), buffer_.data(), size, base_);
    if (count < 0) {
      give_up("read " + quoted(log_path_), std::strerror(errno));
      return false;
    }
    if (count == 0) return reopen_if_replaced();
    const auto got = static_cast<std::size_t>(count);
    const bool at_end = got < size;
    const bool all = (at_end && state_ == State::kFinishing) || size >= kLongestRecord;
    chunk_ = decode_k8s_log({buffer_.data(), got}, all);
    if (chunk_.consumed > 0) break;
    if (at_end) return reopen_if_replaced();
    size *= 2;
  }
  written_ = std::min(std::exchange(skip_, 0), chunk_.records.front().text);
  next_record_ = 0;
  advance(0);
  crash_point("log.pump.read");
  return true;
}

// conmon puts a new file in the log's place, or empties it, when a size limit is reached.
bool LogPump::reopen_if_replaced() {
  struct stat info {};
  if (::stat(log_path_.c_str(), &info) != 0) return false;
  if (static_cast<std::uint64_t>(info.st_ino) == inode_) {
    if (static_cast<std::uint64_t>(info.st_size) >= base_) return false;
    base_ = 0;
    return read_chunk();
  }
  if (!open_log()) return false;
  if (state_ == State::kFollowing) watch();
  return read_chunk();
}

// True once nothing of the chunk is left.
bool LogPump::write_chunk() {
  while (written_ < chunk_.text.size()) {
    const ssize_t count =
        ::write(sink_->get(), chunk_.text.data() + written_, chunk_.text.size() - written_);
    if (count > 0) {
      advance(static_cast<std::size_t>(count));
      crash_point("log.pump.saved");
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else if (count < 0 && errno == EAGAIN) {
      wait_for_room();
      return false;
    } else {
      give_up("write to the log collector", count < 0 ? std::strerror(errno) : "nothing written");
      return false;
    }
  }
  if (!chunk_.records.empty()) {
    base_ += chunk_.consumed;
    chunk_ = {};
    written_ = 0;
    next_record_ = 0;
  }
  return true;
}

void LogPump::advance(std::size_t written) {
  written_ += written;
  progressed_ = true;
  while (next_record_ < chunk_.records.size() && chunk_.records[next_record_].text <= written_) {
    ++next_record_;
  }
  save_position();
}

void LogPump::wait_for_room() {
  int error = 0;
  if (!room_) {
    error = room_.open(loop_.uv(), shared_from_this(), [this](uv_loop_t* loop, uv_poll_t* poll) {
      return uv_poll_init(loop, poll, sink_->get());
    });
  }
  if (error == 0) {
    error = uv_poll_start(room_.get(), UV_WRITABLE, [](uv_poll_t* handle, int, int) {
      uv_poll_stop(handle);
      if (const auto pump = owner_of<LogPump>(handle)) pump->pump();
    });
  }
  if (error != 0) give_up("wait for the log collector", uv_strerror(error));
}

// ---- ending
// --------------------------------------------------------------------------------------

void LogPump::finish(std::function<void()> drained) {
  if (state_ == State::kStopped) {
    if (drained) drained();
    return;
  }
  const auto self = shared_from_this();
  if (drained) drained_.push_back(std::move(drained));
  if (state_ == State::kFinishing) return;
  if (!position_) return stop();  // nothing was ever followed
  state_ = State::kFinishing;
  watch_.close();
  expect_progress();
  if (!copying_) return;  // take_position() goes on from here, if the position is free in time
  if (!log_) open_log();
  pump();
}

void LogPump::expect_progress() {
  progressed_ = false;
  patience_ = loop_.after(kPatience, [self = shared_from_this()] {
    if (!self->progressed_) return self->stop();
    self->expect_progress();
  });
}

void LogPump::stop() {
  if (state_ == State::kStopped) return;
  const auto self = shared_from_this();  // the handles below may hold the last references
  state_ = State::kStopped;
  watch_.close();
  room_.close();
  patience_.reset();
  retry_.reset();
  sink_.reset();
  log_.reset();
  position_.reset();
  failed_ = nullptr;
  for (const auto& drained : std::exchange(drained_, {})) drained();
}

// Copying stops, but our ends of the FIFOs stay until finish(): the collector sees no early end.
void LogPump::give_up(const std::string& step, const std::string& cause, std::string hint) {
  watch_.close();
  room_.close();
  const auto failed = std::exchange(failed_, nullptr);
  if (state_ == State::kFinishing) {
    stop();
  } else {
    state_ = State::kIdle;
  }
  if (failed) {
    failed({ErrorCode::kInternal, "copy the log", log_path_, step + ": " + cause, std::move(hint)});
  }
}

}  // namespace ndc::runtime
