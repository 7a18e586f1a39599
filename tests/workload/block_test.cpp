// A block is its kernels. The algebra:
//   parameters  all blocks of the model together hold exactly the model's parameters, whatever the parallel axes
//   work        a linear layer's three products do the same FLOPs; recomputation adds to the backward pass only
//   exchanges   there are some exactly where experts live on several ranks
#include "sim/workload/block.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "sim/spec/load.h"
#include "sim/workload/counts.h"
#include "sim/workload/stage.h"
#include "tests/support/linear_machine.h"

namespace trillion {
namespace {

using namespace testing_support;

double held(const Model& model, const Plan& plan) {
  const Training training = [] {
    Training t;
    t.sequence_length = 4096;
    return t;
  }();
  const LayerRouting routing;
  const BlockContext context{model, plan, training, routing, DType::fp8_block, false, {}, {}, {}};
  double sum = 0;
  for (const Stage& stage : make_stages(model, {model.num_hidden_layers})) {
    for (const BlockKind kind : stage) {
      const BlockParameters p = make_block(kind, context).parameters;
      sum += p.dense * static_cast<double>(plan.tensor_parallel) +
             p.expert * static_cast<double>(plan.expert_parallel * plan.expert_tensor_parallel);
    }
  }
  return sum;
}

TEST(Block, BlocksHoldTheModelsParameters) {
  for (const auto& file : std::filesystem::directory_iterator(std::string(TRILLION_SOURCE_DIR) + "/models")) {
    if (file.path().extension() != ".yaml") continue;
    const Model model = load_model(file.path().string());
    const ModelSize size = model_size(model);
    EXPECT_NEAR(held(model, Plan{}) / static_cast<double>(size.total + size.mtp), 1, 1e-9) << model.name;
  }
}

TEST(Block, SplittingKeepsParametersButForWhatEveryRankHolds) {
  Plan plan;
  plan.tensor_parallel = 4;
  plan.expert_parallel = 8;
  const Model model = moe_model(8);
  const ModelSize size = model_size(model);
  // Norms, router and other vectors are on every tensor-parallel rank: a few per mille more than once.
  EXPECT_NEAR(held(model, plan) / static_cast<double>(size.total), 1, 5e-3);
  EXPECT_GT(held(model, plan), static_cast<double>(size.total));
}

Flops work(const Operations& ops) {
  Flops sum;
  for (const Operation& op : ops) {
    std::visit(
        [&](const auto& what) {
          using What = std::decay_t<decltype(what)>;
          if constexpr (!std::is_same_v<What, Collective> && !std::is_same_v<What, MemoryBound>) sum += flops(what);
        },
        op.what);
  }
  return sum;
}

TEST(Block, ThreeProductsDoTheSameWork) {
  const Model model = moe_model(1);
  Training training;
  training.sequence_length = 4096;
  const LayerRouting routing;
  Plan plan;
  const BlockContext context{model, plan, training, routing, DType::fp8_block, false, {}, {}, {}};
  const Block b = make_block(BlockKind::moe_layer, context);
  EXPECT_DOUBLE_EQ(work(b.experts).value(), work(b.experts_backward).value());
  EXPECT_DOUBLE_EQ(work(b.experts).value(), work(b.experts_weight).value());
  EXPECT_FALSE(b.exchanges.dispatch);
}

TEST(Block, ExchangesAreWhereExpertsLiveApart) {
  const Model model = moe_model(1);
  Training training;
  training.sequence_length = 4096;
  LayerRouting routing;
  routing.remote_nodes_per_token = 3;
  Plan plan;
  plan.expert_parallel = 32;
  const BlockContext context{model, plan, training, routing, DType::fp8_block, false, {}, {}, {32, 1, 8}};
  const Block moe = make_block(BlockKind::moe_layer, context);
  ASSERT_TRUE(moe.exchanges.dispatch && moe.exchanges.combine && moe.exchanges.combine_backward && moe.exchanges.dispatch_backward);
  EXPECT_EQ(std::get<Collective>(moe.exchanges.dispatch->what).bytes, Bytes{4096.0 * 4096 * 2 * 3});
  EXPECT_FALSE(make_block(BlockKind::dense_layer, context).exchanges.dispatch);
}

TEST(Block, FullRecomputationKeepsOnlyTheInput) {
  const Model model = dense_model(1);
  Training training;
  training.sequence_length = 4096;
  const LayerRouting routing;
  Plan plan;
  plan.recompute = {RecomputeModule::layer};
  const BlockContext context{model, plan, training, routing, DType::fp8_block, false, {}, {}, {}};
  const Block b = make_block(BlockKind::dense_layer, context);
  ASSERT_EQ(b.saved.size(), 1u);
  EXPECT_EQ(b.saved.front().bytes, Bytes{2.0 * 4096 * 4096});
  EXPECT_DOUBLE_EQ(work(b.recompute).value(), work(b.before_exchange).value() + work(b.experts).value());
}

}  // namespace
}  // namespace trillion
