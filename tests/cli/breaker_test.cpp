// The circuit breaker, over a clock of its own.
#include "runtime/circuit_breaker.hpp"
#include "support/catch.hpp"

using namespace ndc::runtime;
using namespace std::chrono_literals;

TEST_CASE("a breaker opens after failures in a row, tries again and closes") {
  CircuitBreaker breaker;
  CircuitBreaker::Clock::time_point now{};
  for (int i = 0; i < 4; ++i) breaker.failed("hangs", now);
  CHECK(!breaker.open());
  breaker.succeeded();
  for (int i = 0; i < 5; ++i) breaker.failed("hangs", now);
  CHECK(breaker.open());
  CHECK(breaker.refusal(now) == "hangs");
  now += 3s;
  CHECK(!breaker.refusal(now));  // one is let through
  CHECK(breaker.refusal(now) == "hangs");
  breaker.failed("hangs", now);
  now += 3s;
  CHECK(breaker.refusal(now));  // the pause has grown
  now += 2s;
  CHECK(!breaker.refusal(now));
  breaker.succeeded();
  CHECK(!breaker.open());
  CHECK(!breaker.refusal(now));
}

TEST_CASE("a breaker has the limits that it was given, and tells when it pauses") {
  CircuitBreaker breaker{{2, 5min, 5min}};
  CircuitBreaker::Clock::time_point now{};
  breaker.failed("hangs", now);
  CHECK(!breaker.pauses(now));
  breaker.failed("hangs", now);
  CHECK(breaker.pauses(now));
  now += 5min;
  CHECK(!breaker.pauses(now));
  breaker.failed("hangs", now);
  CHECK(breaker.pauses(now + 4min));
  CHECK(!breaker.pauses(now + 5min));
  breaker.succeeded();
  breaker.failed("hangs", now);
  CHECK(!breaker.pauses(now));
}

TEST_CASE("calls that always fail open their breaker, whatever succeeds in between") {
  CircuitBreakers breakers;
  CircuitBreakers::Clock::time_point now{};
  for (int i = 0; i < 5; ++i) {
    CHECK(!breakers.open());
    CHECK(!breakers.refusal("list", now));
    breakers.failed("list", "hangs", now);
    CHECK(!breakers.refusal("stats", now + 3s));
    breakers.succeeded("stats");
  }
  CHECK(breakers.open() == "hangs");
  CHECK(breakers.refusal("list", now) == "hangs");
  CHECK(breakers.refusal("stats", now) == "hangs");
  CHECK(breakers.pauses(now) == "hangs");
  now += 3s;
  CHECK(!breakers.pauses(now));
  // Others do not use up the one that is let through.
  for (int i = 0; i < 3; ++i) CHECK(!breakers.refusal("stats", now));
  breakers.succeeded("stats");
  CHECK(breakers.open());
  CHECK(!breakers.refusal("list", now));
  CHECK(breakers.refusal("list", now) == "hangs");
  CHECK(breakers.refusal("stats", now) == "hangs");
  breakers.succeeded("list");
  CHECK(!breakers.open());
  CHECK(!breakers.refusal("list", now));
  CHECK(!breakers.refusal("stats", now));
}

TEST_CASE("each kind of call has to fail in a row by itself") {
  CircuitBreakers breakers;
  const CircuitBreakers::Clock::time_point now{};
  for (const char* call : {"list", "stats", "image inspect"}) {
    for (int i = 0; i < 4; ++i) breakers.failed(call, "hangs", now);
  }
  CHECK(!breakers.open());
  breakers.succeeded("list");
  breakers.failed("list", "hangs", now);
  CHECK(!breakers.open());
  breakers.failed("stats", "hangs, too", now);
  CHECK(breakers.open() == "hangs, too");
}
