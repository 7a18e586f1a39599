// What must hold: one tensor for each shape, however many layers and experts have it; nothing where gradients are not added up by the
// product itself.
#include "sim/workload/gradient_placeholders.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::gradient_placeholders_test {
namespace {

using namespace testing_support;

BlockSetting megatron(Model model) {
  BlockSetting setting(std::move(model));
  setting.unfused = {UnfusedPart::layouts};
  return setting;
}

TEST(GradientPlaceholders, AreOneOfEachShape) {
  BlockSetting setting = megatron(shipped_model("llama-3.1-70b"));
  setting.plan.tensor_parallel = 2;
  const Block layer = setting.block(BlockKind::dense_layer);
  const double one = gradient_placeholders({&layer}, setting.context()).value();
  // Joint projection, output, up and gate, down.
  EXPECT_EQ(one, 2 * 8192.0 * (10240 + 8192 + 57344 + 28672) / 2);
  EXPECT_EQ(gradient_placeholders({&layer, &layer, &layer}, setting.context()).value(), one);
  const Block head = setting.block(BlockKind::head);
  EXPECT_EQ(gradient_placeholders({&layer, &head}, setting.context()).value(), one + 128256.0 * 8192);
}

TEST(GradientPlaceholders, ExpertsShareOne) {
  BlockSetting setting = megatron(shipped_model("qwen3-30b-a3b"));
  std::vector<double> bytes;
  for (const std::int64_t group : {8, 16}) {
    setting.plan.expert_parallel = group;
    const Block layer = setting.block(BlockKind::moe_layer);
    bytes.push_back(gradient_placeholders({&layer}, setting.context()).value());
  }
  EXPECT_EQ(bytes[0], bytes[1]);
}

TEST(GradientPlaceholders, OtherStacksHaveNone) {
  BlockSetting setting(shipped_model("llama-3.1-70b"));
  for (const std::vector<UnfusedPart>& unfused : {std::vector<UnfusedPart>{}, {UnfusedPart::layouts, UnfusedPart::accumulation}}) {
    setting.unfused = unfused;
    const Block layer = setting.block(BlockKind::dense_layer);
    EXPECT_EQ(gradient_placeholders({&layer}, setting.context()), Bytes{});
  }
}

}  // namespace
}  // namespace trillion::gradient_placeholders_test
