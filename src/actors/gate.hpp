// A bound on what a peer can have in progress: commands hold a ticket until they are answered, and
// past the limit there is none. So that no mailbox, and no engine's queue, grows as a caller likes.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "model/reply.hpp"

namespace ndc::actors {

class Gate {
 public:
  using Ticket = std::shared_ptr<const void>;
  explicit Gate(long limit) : limit_{limit} {}

  bool full() const { return open_.use_count() - 1 >= limit_; }
  Ticket ticket() const { return open_; }

  // The same reply, holding a ticket until it is answered or dropped.
  template <class T>
  Reply<T> counted(Reply<T> reply) const {
    return Reply<T>{[ticket = ticket(), reply = std::move(reply)](std::optional<T> answer) {
      if (answer) reply(std::move(*answer));  // else dropping `reply` says it
    }};
  }

 private:
  long limit_;
  std::shared_ptr<const int> open_ = std::make_shared<const int>(0);
};

}  // namespace ndc::actors
