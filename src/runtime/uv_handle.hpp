// libuv handles with an owner. A handle keeps the object that its callbacks work on alive until it
// is closed; closing (also by the event loop's end) lets go of it. Loop thread only.
#pragma once

#include <uv.h>

#include <memory>
#include <unordered_set>
#include <utility>

namespace ndc::runtime {

class HandleBox;

// What uv_loop_t::data points to: the handles to close when the loop ends.
struct OpenHandles {
  std::unordered_set<HandleBox*> boxes;
};

class HandleBox : public std::enable_shared_from_this<HandleBox> {
 public:
  HandleBox() = default;
  HandleBox(const HandleBox&) = delete;
  HandleBox& operator=(const HandleBox&) = delete;
  virtual ~HandleBox() = default;

  void opened(std::shared_ptr<void> owner);
  void close();  // idempotent; the owner is let go later, from the loop
  const std::shared_ptr<void>& owner() const { return owner_; }

 private:
  virtual uv_handle_t* handle() = 0;

  bool closing_ = false;
  std::shared_ptr<void> owner_;
  std::shared_ptr<HandleBox> self_;  // libuv's memory must stay until its close callback
};

template <class T>
class UvHandle {
 public:
  UvHandle() = default;
  UvHandle(const UvHandle&) = delete;
  UvHandle& operator=(const UvHandle&) = delete;
  ~UvHandle() { close(); }

  // `init` is libuv's function for this type with everything bound but the loop and the handle. A
  // handle that is open already is closed first. Returns libuv's error, 0 if none.
  template <class Init>
  int open(uv_loop_t* loop, std::shared_ptr<void> owner, Init&& init) {
    close();
    auto box = std::make_shared<Box>();
    const int error = std::forward<Init>(init)(loop, &box->uv);
    if (error != 0) return error;
    box->opened(std::move(owner));
    box_ = std::move(box);
    return 0;
  }

  void close() {
    if (auto box = std::exchange(box_, nullptr)) box->close();
  }

  T* get() const { return box_ ? &box_->uv : nullptr; }
  explicit operator bool() const { return box_ != nullptr; }

  uv_stream_t* stream() const { return reinterpret_cast<uv_stream_t*>(get()); }

 private:
  struct Box final : HandleBox {
    uv_handle_t* handle() override { return reinterpret_cast<uv_handle_t*>(&uv); }
    T uv{};
  };
  std::shared_ptr<Box> box_;
};

// In a libuv callback: the object given to open(), null once the handle is closing.
template <class Owner, class T>
std::shared_ptr<Owner> owner_of(T* handle) {
  return std::static_pointer_cast<Owner>(static_cast<HandleBox*>(handle->data)->owner());
}

}  // namespace ndc::runtime
