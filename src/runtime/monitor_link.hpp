// The plugin's connection to one monitor (monitor_lines.hpp has the protocol). Loop thread only.
#pragma once

#include <uv.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "runtime/event_loop.hpp"
#include "runtime/uv_handle.hpp"

namespace ndc::runtime {

// Takes the first line off what has come so far; false where none is whole yet.
bool take_line(std::string& pending, std::string& line);

class MonitorLink : public std::enable_shared_from_this<MonitorLink> {
 public:
  // `line` for each line that the monitor sends, then `closed` once: the monitor is not there (any
  // more). Nothing is called after close().
  MonitorLink(EventLoop& loop, std::function<void(std::string)> line, std::function<void()> closed)
      : loop_{loop}, line_{std::move(line)}, closed_{std::move(closed)} {}

  void connect(const std::string& socket);
  // One line, without its end. Lost if the monitor is not there.
  void send(const std::string& line);
  // After what was sent.
  void close();

 private:
  void connected(int status);
  void flush();
  void read(ssize_t count);
  void lost();

  EventLoop& loop_;
  std::function<void(std::string)> line_;
  std::function<void()> closed_;
  UvHandle<uv_pipe_t> pipe_;
  uv_connect_t connect_{};
  std::shared_ptr<MonitorLink> connecting_;  // keeps us until libuv has answered
  bool up_ = false;
  bool closing_ = false;
  std::string unsent_;
  std::string pending_;
  std::array<char, 256> buffer_{};
};

}  // namespace ndc::runtime
