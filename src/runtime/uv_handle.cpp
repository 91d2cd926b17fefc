#include "runtime/uv_handle.hpp"

namespace ndc::runtime {

void HandleBox::opened(std::shared_ptr<void> owner) {
  uv_handle_t* uv = handle();
  uv->data = this;
  owner_ = std::move(owner);
  self_ = shared_from_this();
  if (uv->loop->data != nullptr) static_cast<OpenHandles*>(uv->loop->data)->boxes.insert(this);
}

void HandleBox::close() {
  if (closing_) return;
  closing_ = true;
  uv_handle_t* uv = handle();
  if (uv->loop->data != nullptr) static_cast<OpenHandles*>(uv->loop->data)->boxes.erase(this);
  uv_close(uv, [](uv_handle_t* closed) {
    auto* box = static_cast<HandleBox*>(closed->data);
    const auto self = std::exchange(box->self_, nullptr);
    // Last, because the owner's destructor may drop its reference to this box.
    const auto owner = std::exchange(box->owner_, nullptr);
  });
}

}  // namespace ndc::runtime
