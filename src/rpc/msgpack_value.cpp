#include "rpc/msgpack_value.hpp"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <msgpack.hpp>

namespace ndc::rpc {
namespace {

// Builds the tree while the parser walks the bytes, and stops it at the first limit.
class Builder : public msgpack::null_visitor {
 public:
  explicit Builder(std::size_t size) : size_{size} {}

  bool visit_nil() { return put({}); }
  bool visit_boolean(bool v) { return put(Value{v}); }
  bool visit_positive_integer(std::uint64_t v) {
    if (v > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return refuse("the number " + std::to_string(v) + " is too large");
    }
    return put(Value{static_cast<std::int64_t>(v)});
  }
  bool visit_negative_integer(std::int64_t v) { return put(Value{v}); }
  bool visit_float32(float v) { return put(Value{static_cast<double>(v)}); }
  bool visit_float64(double v) { return put(Value{v}); }
  bool visit_str(const char* text, std::uint32_t size) {
    return put(Value{std::string(text, size)});
  }
  bool visit_bin(const char* text, std::uint32_t size) { return visit_str(text, size); }
  bool visit_ext(const char*, std::uint32_t) { return refuse("it holds an extension type"); }

  bool start_array(std::uint32_t count) {
    if (!open(count)) return false;
    Value::List list;
    list.reserve(std::min<std::size_t>(count, 1024));
    stack_.push_back({Value{std::move(list)}, {}});
    return true;
  }
  bool end_array() { return close(); }
  bool start_map(std::uint32_t count) {
    if (!open(count)) return false;
    stack_.push_back({Value{Value::Map{}}, {}});
    return true;
  }
  bool end_map() { return close(); }
  bool start_map_key() {
    in_key_ = true;
    return true;
  }
  bool end_map_key() {
    in_key_ = false;
    return true;
  }

  void parse_error(std::size_t, std::size_t at) {
    refuse("byte " + std::to_string(at) + " cannot be read");
  }
  void insufficient_bytes(std::size_t, std::size_t) { refuse("it ends too early"); }

  Value take() { return std::move(root_); }
  const std::string& error() const { return error_; }
  bool refuse(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    return false;
  }

 private:
  struct Level {
    Value value;
    std::string key;  // of the map value that comes next
  };

  bool open(std::uint32_t count) {
    if (in_key_) return refuse("a key is no text");
    if (stack_.size() >= kMaxMsgpackDepth) {
      return refuse("it is nested deeper than " + std::to_string(kMaxMsgpackDepth) + " levels");
    }
    // Each element takes a byte at least: a larger count is a lie that would reserve memory.
    if (count > size_) return refuse("it ends too early");
    return true;
  }

  bool close() {
    Value done = std::move(stack_.back().value);
    stack_.pop_back();
    return put(std::move(done));
  }

  bool put(Value value) {
    if (++elements_ > kMaxMsgpackElements) {
      return refuse("it has more than " + std::to_string(kMaxMsgpackElements) + " elements");
    }
    if (in_key_) {
      const std::string* key = value.string();
      if (key == nullptr) return refuse("a key is no text");
      stack_.back().key = *key;
      return true;
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = stack_.back();
    if (auto* list = std::get_if<Value::List>(&level.value.data)) {
      list->push_back(std::move(value));
    } else {
      std::get<Value::Map>(level.value.data)[level.key] = std::move(value);
    }
    return true;
  }

  std::size_t size_;
  std::size_t elements_ = 0;
  bool in_key_ = false;
  std::vector<Level> stack_;
  Value root_;
  std::string error_;
};

tl::unexpected<Error> unreadable(std::string cause) {
  return fail({.code = ErrorCode::kInvalidConfig,
               .what = "decode the configuration",
               .cause = std::move(cause)});
}

}  // namespace

Expected<Value> decode_msgpack(std::string_view bytes) {
  if (bytes.empty()) return Value{};
  if (bytes.size() > kMaxMsgpackBytes) {
    return unreadable("it is larger than " + std::to_string(kMaxMsgpackBytes) + " bytes");
  }
  Builder builder{bytes.size()};
  std::size_t used = 0;
  try {
    const bool parsed = msgpack::v2::parse(bytes.data(), bytes.size(), used, builder);
    if (parsed && used < bytes.size()) builder.refuse("bytes follow its end");
    if (!parsed) builder.refuse("it cannot be read");
  } catch (const std::exception& e) {
    builder.refuse(e.what());
  }
  if (!builder.error().empty()) return unreadable(builder.error());
  return builder.take();
}

}  // namespace ndc::rpc
