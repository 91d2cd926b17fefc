#include "rpc/hcl_schema.hpp"

#include <string>

namespace ndc::rpc {
namespace {

namespace hclspec = hashicorp::nomad::plugins::shared::hclspec;

// A list of blocks must not hold `any`: the client unifies the types of the elements.
enum class Within { kBlock, kBlockList };

const char* attribute_type(SettingType type, Within within) {
  switch (type) {
    case SettingType::kNumber:
      return "number";
    case SettingType::kBool:
      return "bool";
    case SettingType::kStringList:
      return "list(string)";
    case SettingType::kStringMap:
      // `any` takes every spelling of a map, computed ones included; map(string) would refuse the
      // two that people write most, because the client turns both into a list of one map.
      return within == Within::kBlock ? "any" : "list(map(string))";
    case SettingType::kWords:
      return within == Within::kBlock ? "any" : "list(string)";
    default:
      return "string";
  }
}

void fill(hclspec::Object& object, const Schema& schema, Within within);

hclspec::Spec to_spec(const Setting& setting, Within within) {
  hclspec::Spec spec;
  if (setting.type == SettingType::kBlock) {
    auto& block = *spec.mutable_block_value();
    block.set_name(setting.key);
    block.set_required(setting.required);
    fill(*block.mutable_nested()->mutable_object(), setting.nested, within);
  } else if (setting.type == SettingType::kBlockList) {
    auto& blocks = *spec.mutable_block_list();
    blocks.set_name(setting.key);
    blocks.set_min_items(setting.required ? 1 : 0);
    fill(*blocks.mutable_nested()->mutable_object(), setting.nested, Within::kBlockList);
  } else {
    auto& attribute = *spec.mutable_attr();
    attribute.set_name(setting.key);
    attribute.set_type(attribute_type(setting.type, within));
    attribute.set_required(setting.required);
  }
  return spec;
}

void fill(hclspec::Object& object, const Schema& schema, Within within) {
  for (const Setting& setting : schema) {
    (*object.mutable_attributes())[setting.key] = to_spec(setting, within);
  }
}

}  // namespace

hclspec::Spec to_hclspec(const Schema& schema) {
  hclspec::Spec spec;
  fill(*spec.mutable_object(), schema, Within::kBlock);
  return spec;
}

}  // namespace ndc::rpc
