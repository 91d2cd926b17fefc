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
