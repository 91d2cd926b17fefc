// Random input that repeats with its seed, and text that wants to be taken for something else.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace ndc::test {

// How many inputs a property is put to, for each version. Where each is some ten times slower, no
// other code is reached by more of them.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kInputs = 300;
#elif defined(__OPTIMIZE__)
inline constexpr int kInputs = 10000;
#else
inline constexpr int kInputs = 2000;
#endif

inline constexpr const char* kAppleVersions[] = {"0.11.0", "0.12.3", "1.0.0", "1.1.0", "1.2.2"};

// $NDC_SEED, else a new one, which is printed.
inline unsigned random_seed() {
  const char* given = std::getenv("NDC_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                         : std::random_device{}();
  WARN("NDC_SEED=" << seed);
  return seed;
}

class Generator {
 public:
  explicit Generator(unsigned seed) : random_{seed} {}

  bool chance(int percent) { return number(1, 100) <= percent; }
  int number(int from, int to) { return std::uniform_int_distribution<int>{from, to}(random_); }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(number(0, static_cast<int>(from.size()) - 1))];
  }

  std::string text(int longest = 8) {
    static const std::vector<std::string> parts{"a", "Z", "0", "-",  "--", "=",  ":",  ",", ".",
                                                "/", "_", " ", "\"", "'",  "\\", "é",  "$", "*",
                                                "[", "]", "{", "%",  "#",  "@",  "\t", "+", "~"};
    std::string out;
    for (int i = number(0, longest); i > 0; --i) out += pick(parts);
    return out;
  }
  std::string word() {
    static const std::vector<std::string> parts{"a", "b", "x1", "9", "Q"};
    std::string out = "w";
    for (int i = number(0, 5); i > 0; --i) out += pick(parts);
    return out;
  }

 private:
  std::mt19937 random_;
};

inline std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += " '" + word + "'";
  return out;
}

}  // namespace ndc::test
