// What a call about a container says where that runs no more: the caller knows whether that is a
// failure.
#pragma once

#include "model/error.hpp"

namespace ndc::runtime {

inline bool ended_already(const Error& error) {
  return error.code == ErrorCode::kWrongState || error.code == ErrorCode::kContainerGone;
}

}  // namespace ndc::runtime
