// The model's settings tables as the schema that Nomad's client checks configurations against.
#pragma once

#include "model/settings.hpp"
#include "nomad/shared/hclspec.pb.h"

namespace ndc::rpc {

// Without defaults: those live in the model, where an absent block and an empty one get the same.
hashicorp::nomad::plugins::shared::hclspec::Spec to_hclspec(const Schema& schema);

}  // namespace ndc::rpc
