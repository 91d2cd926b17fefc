// A bound on what a peer can have in progress: commands hold a ticket until they are answered, a
// streaming exec until it has ended, and past the limit there is none. So that no mailbox, and no
// engine's queue, grows as a caller likes.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/error.hpp"
#include "model/reply.hpp"
#include "model/stream.hpp"

namespace ndc::actors {

// What callers may have open at a time; docs/embedding.md says it, too. Nomad needs a handful of
// each.
constexpr long kMaxStarts = 4096;          // StartTask of all tasks
constexpr long kMaxRecoveries = 4096;      // RecoverTask of all tasks
constexpr long kMaxCommands = 256;         // signals, execs, inspections of one task
constexpr long kMaxSessions = 256;         // streaming execs of one task
constexpr long kMaxStops = 64;             // StopTask and DestroyTask of one task
constexpr std::size_t kMaxWaiters = 1024;  // WaitTask of one task
constexpr std::size_t kMaxStreams = 256;   // the usage of one task, events, fingerprints: of each

inline Error too_many(const char* what, const std::string& on = {}) {
  return {.code = ErrorCode::kRuntimeUnavailable,
          .what = what,
          .on = on,
          .cause = "too many calls of this kind are open",
          .hint = "wait until one is answered"};
}

// Puts the stream among the others, or ends it when there are too many.
template <class T>
bool admit(std::vector<Stream<T>>& streams, const Stream<T>& stream, const char* what) {
  std::erase_if(streams, [](const auto& open) { return open->closed(); });
  if (streams.size() >= kMaxStreams) {
    stream->end(too_many(what));
    return false;
  }
  streams.push_back(stream);
  return true;
}

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
