// Where the test programs find files of the source tree and other programs. In an object of its
// own: all others are the same in every clone, and ccache finds them there.
#pragma once

namespace ndc::test::places {

extern const char* const docs;          // the folder docs/
extern const char* const samples;       // what Apple's CLI answers, by version
extern const char* const shapes;        // the shapes of the stand-in's answers
extern const char* const corpus;        // of the fuzzers, a folder each
extern const char* const standin;       // the stand-in for Apple's CLI
extern const char* const test_monitor;  // a program that is nothing but the monitor

}  // namespace ndc::test::places
