// What was read of a stream before its taker wanted it: pieces in order, up to a bound that its
// owner observes by reading no more while it is full.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

namespace ndc::runtime {

// Apple's CLI gives up three seconds after the command has ended if it is not rid of its output by
// then, and the exit code is lost with the rest: what a command prints for a person has to be in
// here when it ends, however slow the connection. Not more, because a task can have hundreds of
// execs.
inline constexpr std::size_t kReadAhead = 4u << 20;

class ReadAhead {
 public:
  explicit ReadAhead(std::size_t piece_size) : piece_size_{piece_size} {}

  bool full() const { return size_ >= kReadAhead; }
  bool empty() const { return pieces_.empty(); }

  // Small reads are joined, so that they make few pieces.
  void keep(std::string_view bytes) {
    size_ += bytes.size();
    if (!pieces_.empty() && pieces_.back().size() + bytes.size() <= piece_size_) {
      pieces_.back() += bytes;
    } else {
      pieces_.emplace_back(bytes);
    }
  }

  // The next piece, of `piece_size` at most where no read was larger. Not while it is empty.
  std::string take() {
    std::string piece = std::move(pieces_.front());
    pieces_.pop_front();
    size_ -= piece.size();
    return piece;
  }

 private:
  std::size_t piece_size_;
  std::deque<std::string> pieces_;
  std::size_t size_ = 0;
};

}  // namespace ndc::runtime
