#include "runtime/monitor_link.hpp"

#include <utility>

namespace ndc::runtime {
namespace {

constexpr std::size_t kMaxLine = 256;

}  // namespace

bool take_line(std::string& pending, std::string& line) {
  const std::size_t end = pending.find('\n');
  if (end == std::string::npos) return false;
  line = pending.substr(0, end);
  pending.erase(0, end + 1);
  return true;
}

void MonitorLink::connect(const std::string& socket) {
  const int error =
      pipe_.open(loop_.uv(), shared_from_this(),
                 [](uv_loop_t* loop, uv_pipe_t* pipe) { return uv_pipe_init(loop, pipe, 0); });
  if (error != 0) return lost();
  connecting_ = shared_from_this();
  connect_.data = this;
  uv_pipe_connect(&connect_, pipe_.get(), socket.c_str(), [](uv_connect_t* request, int status) {
    const auto self = std::exchange(static_cast<MonitorLink*>(request->data)->connecting_, nullptr);
    self->connected(status);
  });
}

void MonitorLink::connected(int status) {
  if (!pipe_) return;
  if (status != 0) return lost();
  up_ = true;
  flush();
  if (closing_) return pipe_.close();
  const int error = uv_read_start(
      pipe_.stream(),
      [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
        const auto self = owner_of<MonitorLink>(handle);
        *buffer = uv_buf_init(self->buffer_.data(), static_cast<unsigned>(self->buffer_.size()));
      },
      [](uv_stream_t* stream, ssize_t count, const uv_buf_t*) {
        if (const auto self = owner_of<MonitorLink>(stream)) self->read(count);
      });
  if (error != 0) lost();
}

// A line is far below what a socket takes at once.
void MonitorLink::flush() {
  if (unsent_.empty() || !up_ || !pipe_) return;
  uv_buf_t bytes = uv_buf_init(unsent_.data(), static_cast<unsigned>(unsent_.size()));
  uv_try_write(pipe_.stream(), &bytes, 1);
  unsent_.clear();
}

void MonitorLink::send(const std::string& line) {
  unsent_ += line + "\n";
  flush();
}

void MonitorLink::close() {
  line_ = nullptr;
  closed_ = nullptr;
  closing_ = true;
  if (up_ || unsent_.empty()) pipe_.close();
}

void MonitorLink::read(ssize_t count) {
  if (count < 0) return lost();
  pending_.append(buffer_.data(), static_cast<std::size_t>(count));
  for (std::string line; take_line(pending_, line);) {
    if (const auto tell = line_) tell(std::move(line));
  }
  if (pending_.size() > kMaxLine) lost();
}

void MonitorLink::lost() {
  const auto self = shared_from_this();
  pipe_.close();
  up_ = false;
  line_ = nullptr;
  if (const auto tell = std::exchange(closed_, nullptr)) tell();
}

}  // namespace ndc::runtime
