#include "support/places.hpp"

namespace ndc::test::places {

const char* const docs = NDC_SOURCE "/docs";
const char* const samples = NDC_SOURCE "/tests/cli/samples";
const char* const shapes = NDC_SOURCE "/tests/standin/shapes";
const char* const corpus = NDC_SOURCE "/tests/fuzz/corpus";
const char* const standin = NDC_STANDIN;
const char* const test_monitor = NDC_TEST_MONITOR;

}  // namespace ndc::test::places
