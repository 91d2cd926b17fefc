// The receiving end of a long-lived stream of values: fingerprints, events, usage. Whoever asks for
// a stream implements it (the RPC layer, a test); whoever produces holds a shared_ptr and drops it
// once closed() is true.
#pragma once

#include <memory>
#include <optional>

#include "model/error.hpp"

namespace ndc {

template <class T>
class StreamSink {
 public:
  StreamSink() = default;
  StreamSink(const StreamSink&) = delete;
  StreamSink& operator=(const StreamSink&) = delete;
  virtual ~StreamSink() = default;

  // Hands over one value. Never blocks: a slow reader's backlog is bounded by the sink, oldest
  // values dropped first. Any thread.
  virtual void next(T value) = 0;

  // No more values. Without an error the stream ends cleanly. Idempotent.
  virtual void end(std::optional<Error> error) = 0;

  // True once the reader cancelled or end() was called.
  virtual bool closed() const = 0;
};

template <class T>
using Stream = std::shared_ptr<StreamSink<T>>;

}  // namespace ndc
