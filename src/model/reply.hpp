// A one-shot answer slot that travels inside messages. An RPC thread creates it, an actor settles
// it; if nobody ever does (actor dead, message dropped, handler threw) the last copy reports that
// on destruction. No thread waits.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace ndc {

template <class T>
class Reply {
 public:
  // nullopt: nobody answered. Runs once, on the thread that settles or drops the reply; it must be
  // short and must not throw.
  using Sink = std::function<void(std::optional<T>)>;

  Reply() = default;
  explicit Reply(Sink sink) : slot_{std::make_shared<Slot>(std::move(sink))} {}

  // The first answer wins and returns true. Const, because handlers see messages as const.
  bool operator()(T value) const { return slot_ && slot_->settle(std::move(value)); }

  // The asker no longer wants the answer: the sink will not run. False if it already did.
  bool abandon() const { return slot_ && !slot_->settled.exchange(true); }

  // abandon() for somebody who must not keep the reply alive, as dropping its last copy answers it.
  std::function<bool()> abandoner() const {
    return [weak = std::weak_ptr<Slot>{slot_}] {
      const auto slot = weak.lock();
      return slot && !slot->settled.exchange(true);
    };
  }

  // True once answered or abandoned, and for an empty reply: holders may drop it.
  bool settled() const { return !slot_ || slot_->settled.load(); }

 private:
  struct Slot {
    explicit Slot(Sink s) : sink{std::move(s)} {}
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot() { settle(std::nullopt); }
    bool settle(std::optional<T> value) noexcept {
      if (settled.exchange(true)) return false;
      std::exchange(sink, nullptr)(std::move(value));
      return true;
    }
    Sink sink;
    std::atomic<bool> settled{false};
  };
  std::shared_ptr<Slot> slot_;
};

}  // namespace ndc
