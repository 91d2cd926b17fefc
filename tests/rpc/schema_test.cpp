#include "support/catch.hpp"

#include "model/plugin_config.hpp"
#include "model/task_config.hpp"
#include "rpc/hcl_schema.hpp"

using ndc::Schema;
using ndc::SettingType;
using ndc::rpc::to_hclspec;
namespace hclspec = hashicorp::nomad::plugins::shared::hclspec;

namespace {

std::string type_in(const hclspec::Object& object, const std::string& key) {
  const auto& spec = object.attributes().at(key);
  REQUIRE(spec.block_case() == hclspec::Spec::kAttr);
  CHECK(spec.attr().name() == key);
  return spec.attr().type();
}

// Every attribute needs a type, and every block a name and a body.
void check_complete(const hclspec::Object& object) {
  for (const auto& [key, spec] : object.attributes()) {
    INFO(key);
    switch (spec.block_case()) {
      case hclspec::Spec::kAttr:
        CHECK(spec.attr().name() == key);
        CHECK_FALSE(spec.attr().type().empty());
        break;
      case hclspec::Spec::kBlockValue:
        CHECK(spec.block_value().name() == key);
        check_complete(spec.block_value().nested().object());
        break;
      case hclspec::Spec::kBlockList:
        CHECK(spec.block_list().name() == key);
        check_complete(spec.block_list().nested().object());
        break;
      default:
        FAIL("unexpected kind of spec");
    }
  }
}

}  // namespace

TEST_CASE("each type of setting has its spelling in the schema") {
  const Schema schema{
      {"s", SettingType::kString, true, {}},
      {"n", SettingType::kNumber, false, {}},
      {"b", SettingType::kBool, false, {}},
      {"l", SettingType::kStringList, false, {}},
      {"m", SettingType::kStringMap, false, {}},
      {"w", SettingType::kWords, false, {}},
      {"blk", SettingType::kBlock, false, {{"x", SettingType::kStringMap, false, {}}}},
      {"rep",
       SettingType::kBlockList,
       false,
       {{"x", SettingType::kStringMap, false, {}}, {"w", SettingType::kWords, false, {}}}},
  };
  const auto spec = to_hclspec(schema);
  REQUIRE(spec.has_object());
  CHECK(type_in(spec.object(), "s") == "string");
  CHECK(spec.object().attributes().at("s").attr().required());
  CHECK_FALSE(spec.object().attributes().at("n").attr().required());
  CHECK(type_in(spec.object(), "n") == "number");
  CHECK(type_in(spec.object(), "b") == "bool");
  CHECK(type_in(spec.object(), "l") == "list(string)");
  CHECK(type_in(spec.object(), "m") == "any");
  CHECK(type_in(spec.object(), "w") == "any");
  CHECK(type_in(spec.object().attributes().at("blk").block_value().nested().object(), "x") ==
        "any");
  const auto& repeated = spec.object().attributes().at("rep").block_list().nested().object();
  CHECK(type_in(repeated, "x") == "list(map(string))");
  CHECK(type_in(repeated, "w") == "list(string)");
}

TEST_CASE("the schemas of the plugin and of tasks are complete") {
  for (const auto* schema : {&ndc::plugin_schema(), &ndc::task_schema()}) {
    const auto spec = to_hclspec(*schema);
    CHECK(static_cast<std::size_t>(spec.object().attributes_size()) == schema->size());
    check_complete(spec.object());
  }
  const auto task = to_hclspec(ndc::task_schema());
  CHECK(task.object().attributes().at("image").attr().required());
}
