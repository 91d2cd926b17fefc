// One argv judged without doing anything: the heart of NDC_STANDIN_PARSE_ONLY, and for tests that
// link the grammar.
#pragma once

#include <string>
#include <vector>

#include "standin/version.hpp"

namespace standin {

struct Verdict {
  int code = 0;      // 0, 1 or 64; 133 for an argv that makes the CLI trap
  std::string text;  // the error, or the effect as JSON
};

/// The effect is {"command","options","words"}, for `run` and `create` with the container's
/// "record". Paths of this machine, images and networks are not looked at.
Verdict check(Version version, const std::vector<std::string>& argv);

}  // namespace standin
