#include "support/catch.hpp"

#include <string>

#include <msgpack.hpp>

#include "rpc/msgpack_value.hpp"

using ndc::ErrorCode;
using ndc::Value;
using ndc::rpc::decode_msgpack;

namespace {

// The bytes of a literal, zeros included.
template <std::size_t N>
std::string bytes(const char (&text)[N]) {
  return {text, N - 1};
}

template <class Pack>
std::string packed(Pack pack) {
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> packer{buffer};
  pack(packer);
  return {buffer.data(), buffer.size()};
}

std::string refusal(const std::string& input) {
  const auto value = decode_msgpack(input);
  REQUIRE_FALSE(value);
  CHECK(value.error().code == ErrorCode::kInvalidConfig);
  return value.error().message();
}

}  // namespace

TEST_CASE("no bytes are a nil configuration") {
  CHECK(decode_msgpack("").value().is_nil());
  CHECK(decode_msgpack("\xc0").value().is_nil());
}

TEST_CASE("every scalar that Nomad sends is understood") {
  CHECK(decode_msgpack("\xc3").value() == Value{true});
  CHECK(decode_msgpack("\xc2").value() == Value{false});
  CHECK(decode_msgpack("\x2a").value() == Value{std::int64_t{42}});
  CHECK(decode_msgpack("\xff").value() == Value{std::int64_t{-1}});
  CHECK(decode_msgpack(bytes("\xcd\x01\x00")).value() == Value{std::int64_t{256}});
  CHECK(decode_msgpack(bytes("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff")).value() ==
        Value{std::int64_t{9223372036854775807}});
  CHECK(decode_msgpack(bytes("\xd3\x80\x00\x00\x00\x00\x00\x00\x00")).value() ==
        Value{std::numeric_limits<std::int64_t>::min()});
  CHECK(decode_msgpack(packed([](auto& p) { p.pack(0.5); })).value() == Value{0.5});
  CHECK(decode_msgpack(packed([](auto& p) { p.pack(1.25F); })).value() == Value{1.25});
}

TEST_CASE("text may come as any str or bin") {
  CHECK(decode_msgpack("\xa2hi").value() == Value{std::string{"hi"}});
  CHECK(decode_msgpack("\xd9\x02hi").value() == Value{std::string{"hi"}});
  CHECK(decode_msgpack(bytes("\xda\x00\x02hi")).value() == Value{std::string{"hi"}});
  CHECK(decode_msgpack(bytes("\xdb\x00\x00\x00\x02hi")).value() == Value{std::string{"hi"}});
  CHECK(decode_msgpack("\xc4\x02hi").value() == Value{std::string{"hi"}});
  CHECK(decode_msgpack("\xa0").value() == Value{std::string{}});
}

TEST_CASE("nested lists and maps keep their shape, empty ones and nil apart") {
  // {"a": [], "b": {}, "c": nil, "d": [1, {"e": "f"}]}
  const auto value = decode_msgpack(
      "\x84\xa1"
      "a\x90\xa1"
      "b\x80\xa1"
      "c\xc0\xa1"
      "d\x92\x01\x81\xa1"
      "e\xa1"
      "f");
  const Value expected{Value::Map{
      {"a", Value{Value::List{}}},
      {"b", Value{Value::Map{}}},
      {"c", Value{}},
      {"d", Value{Value::List{Value{std::int64_t{1}},
                              Value{Value::Map{{"e", Value{std::string{"f"}}}}}}}},
  }};
  CHECK(value.value() == expected);
}

TEST_CASE("bytes that are no configuration are refused with the reason") {
  CHECK(refusal(bytes("\xcf\x80\x00\x00\x00\x00\x00\x00\x00")).find("too large") !=
        std::string::npos);
  CHECK(refusal("\xa5hi").find("ends too early") != std::string::npos);
  CHECK(refusal("\x92\x01").find("ends too early") != std::string::npos);
  CHECK(refusal("\x81\xa1"
                "a")
            .find("ends too early") != std::string::npos);
  CHECK(refusal("\x01\x02").find("bytes follow") != std::string::npos);
  CHECK(refusal(bytes("\xd4\x00\x00")).find("extension") != std::string::npos);
  CHECK(refusal("\x81\x01\x02").find("a key is no text") != std::string::npos);
  CHECK(refusal("\x81\x91\xa1"
                "a\x02")
            .find("a key is no text") != std::string::npos);
  CHECK_FALSE(refusal("\xc1").empty());
}

TEST_CASE("depth, size and element count are bounded") {
  CHECK(decode_msgpack(std::string(64, '\x91') + "\xc0"));
  CHECK(refusal(std::string(65, '\x91') + "\xc0").find("deeper") != std::string::npos);
  CHECK_FALSE(refusal(std::string(1'000'000, '\x91')).empty());
  // Four billion elements in five bytes must not reserve memory.
  CHECK(refusal("\xdd\xff\xff\xff\xff").find("ends too early") != std::string::npos);
  CHECK(refusal("\xdf\xff\xff\xff\xff").find("ends too early") != std::string::npos);
  const std::string many =
      packed([](auto& p) { p.pack(std::vector<int>(ndc::rpc::kMaxMsgpackElements + 1, 1)); });
  CHECK(refusal(many).find("elements") != std::string::npos);
  CHECK(refusal(std::string(ndc::rpc::kMaxMsgpackBytes + 1, '\xc0')).find("larger") !=
        std::string::npos);
}

TEST_CASE("random bytes never do more than fail") {
  std::uint32_t state = 12345;
  for (int i = 0; i < 20000; ++i) {
    std::string input;
    for (std::uint32_t n = static_cast<std::uint32_t>(i % 40); n > 0; --n) {
      state = state * 1664525 + 1013904223;
      input += static_cast<char>(state >> 24);
    }
    (void)decode_msgpack(input);
  }
  SUCCEED();
}
