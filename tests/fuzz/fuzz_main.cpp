// libFuzzer's entry, for the target that NDC_FUZZ_TARGET names.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ndc::fuzz::Target target = [] {
    for (const ndc::fuzz::Target& found : ndc::fuzz::all_targets()) {
      if (std::string_view{found.name} == NDC_FUZZ_TARGET) return found;
    }
    std::abort();
  }();
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
