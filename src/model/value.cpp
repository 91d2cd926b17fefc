#include "model/value.hpp"

namespace ndc {

const char* Value::type_name() const {
  static constexpr const char* kNames[] = {"null",   "bool", "number", "number",
                                           "string", "list", "map"};
  return kNames[data.index()];
}

}  // namespace ndc
