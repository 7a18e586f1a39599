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

namespace trillion::block_test {
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

double bytes(const std::vector<SavedTensor>& saved) {
  double sum = 0;
  for (const SavedTensor& t : saved) sum += t.bytes.value();
  return sum;
}

class RoutedAgain : public testing::TestWithParam<DType> {
 protected:
  RoutedAgain() {
    training_.sequence_length = 4096;
    plan_.expert_parallel = 8;
    if (GetParam() != DType::bf16) plan_.precision = Precision::fp8;
    routing_.remote_nodes_per_token = 1;
  }
  Block with(std::vector<RecomputeModule> modules) {
    plan_.recompute = std::move(modules);
    return make_block(BlockKind::moe_layer, {model_, plan_, training_, routing_, DType::fp8_block, false, {}, {}, {8, 1, 8}});
  }
  Model model_ = moe_model(1);
  Training training_;
  Plan plan_;
  LayerRouting routing_;
};

TEST_P(RoutedAgain, GateExchangesAndExpertsRunOnceMore) {
  const Block kept = with({}), again = with({RecomputeModule::moe});
  // All work between the norm and the residual: the experts' and the router's.
  const double router = 2.0 * 4096 * 4096 * 64;
  EXPECT_DOUBLE_EQ(work(again.recompute).value(), work(kept.experts).value() + router);
  std::vector<std::string> wires;
  for (const Operation& op : again.recompute) {
    if (op.category == Category::expert_all_to_all) wires.push_back(op.label);
    if (is_communication(op.category)) continue;
    EXPECT_EQ(op.category, Category::recompute) << op.label;
  }
  EXPECT_EQ(wires, (std::vector<std::string>{"dispatch again", "combine again"}));
  for (const SavedTensor& t : again.saved) EXPECT_NE(t.module, Module::experts) << t.name;
  double experts = 0;
  for (const SavedTensor& t : kept.saved) experts += t.module == Module::experts ? t.bytes.value() : 0;
  EXPECT_DOUBLE_EQ(bytes(kept.saved) - bytes(again.saved), experts);
  EXPECT_GT(experts, 0);
  EXPECT_EQ(with({RecomputeModule::norm, RecomputeModule::moe}).recompute.front().label, "ffn norm again");
}

TEST_P(RoutedAgain, SharedExpertsAloneRunTheirTwoProductsAgain) {
  const Block kept = with({}), again = with({RecomputeModule::shared_experts});
  EXPECT_DOUBLE_EQ(work(again.recompute).value(), 2.0 * 4096 * 3 * 4096 * 1536);
  EXPECT_LT(bytes(again.saved), bytes(kept.saved));
}

INSTANTIATE_TEST_SUITE_P(Precisions, RoutedAgain, testing::Values(DType::bf16, DType::fp8_block));

TEST(Block, TheRoutedActivationAloneLeavesTheSharedOne) {
  const Model model = moe_model(1);
  Training training;
  training.sequence_length = 4096;
  const LayerRouting routing;
  const auto names = [&](RecomputeModule module) {
    Plan plan;
    plan.recompute = {module};
    std::vector<std::string> found;
    for (const SavedTensor& t :
         make_block(BlockKind::moe_layer, {model, plan, training, routing, DType::fp8_block, false, {}, {}, {}}).saved) {
      if (t.name.ends_with("activation output")) found.push_back(t.name);
    }
    return found;
  };
  EXPECT_EQ(names(RecomputeModule::moe_activation), std::vector<std::string>{"shared expert activation output"});
  EXPECT_TRUE(names(RecomputeModule::activation).empty());
}

TEST(Block, SparedLayersAreThoseWithoutRecomputation) {
  const Model model = dense_model(1);
  Training training;
  training.sequence_length = 4096;
  const LayerRouting routing;
  Plan plan;
  const auto block = [&](BlockKind kind) {
    return make_block(kind, {model, plan, training, routing, DType::fp8_block, false, {}, {}, {}});
  };
  const Block plain = block(BlockKind::dense_layer);
  plan.recompute = {RecomputeModule::layer};
  const Block spared = block(kept(BlockKind::dense_layer));
  EXPECT_EQ(spared.kind, BlockKind::kept_dense_layer);
  EXPECT_TRUE(spared.recompute.empty());
  EXPECT_DOUBLE_EQ(bytes(spared.saved), bytes(plain.saved));
  EXPECT_DOUBLE_EQ(spared.parameters.total(), plain.parameters.total());
  EXPECT_EQ(kept(BlockKind::kept_moe_layer), BlockKind::kept_moe_layer);
  EXPECT_FALSE(is_layer(BlockKind::head));
}

TEST(Block, ModulesTogetherAreTheBlocksParameters) {
  Training training;
  training.sequence_length = 4096;
  const LayerRouting routing;
  const Model model = moe_model(2);
  Plan plan;
  plan.expert_parallel = 8;
  for (const BlockKind kind : {BlockKind::embedding, BlockKind::dense_layer, BlockKind::moe_layer, BlockKind::head, BlockKind::mtp_layer}) {
    const Block b = make_block(kind, {model, plan, training, routing, DType::fp8_block, false, {}, {}, {}});
    double dense = 0, expert = 0;
    for (const BlockParameters& part : b.parameters_of) dense += part.dense, expert += part.expert;
    EXPECT_DOUBLE_EQ(b.parameters.dense, dense);
    EXPECT_DOUBLE_EQ(b.parameters.expert, expert);
    EXPECT_GT(b.parameters.total(), 0) << b.name;
  }
}

}  // namespace
}  // namespace trillion::block_test
