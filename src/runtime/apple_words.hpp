// What Apple's CLI has said, without the names in it: jobs choose those of containers, images,
// networks, paths and programs, and one of them may read like a failure of the engine.
#pragma once

#include <string>
#include <string_view>

namespace ndc::runtime {

// In lower case, with a "*" for each name. Line by line, however many there are.
std::string apple_words(std::string_view text);

// Whether one of Apple's errors of this kind is among such words ("timeout"): nested ones are
// printed as `timeout: "create timed out"` (contract 2.1).
bool has_code_word(std::string_view words, std::string_view code);

}  // namespace ndc::runtime
