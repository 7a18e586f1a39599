// The routed feed-forward network on one of ep ranks: E experts, k per token, width f, t tokens a rank. The algebra:
//   rows      t k token copies a rank on even load, dealt out to its E / ep experts to within one
//   work      each pass does 2 t x (k experts + shared experts) FLOPs; splitting experts over ranks does not change a rank's share
//   load      what grows with the busiest rank's load is the routed kernels and the exchanges, nothing else
//   kept      DeepSeek-V3, per token copy: 7168 + 224 + 4096 + 128 = 11616 bytes (../shared facts, memory.md section 4)
#include "sim/workload/experts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "sim/workload/counts.h"
#include "sim/workload/kind_table.h"
#include "tests/support/block_setting.h"

namespace trillion::experts_test {
namespace {

using namespace testing_support;

TEST(Experts, RowsAreDealtOutEvenly) {
  for (const std::int64_t ranks : {1, 8, 64}) {
    BlockSetting setting = deepseek_v3(ranks);
    setting.training.sequence_length = 4097;  // divides by nothing
    for (const GroupedGemm& gemm : of_type<GroupedGemm>(routed_feed_forward(setting.context()).forward)) {
      ASSERT_EQ(static_cast<std::int64_t>(gemm.m.size()), 256 / ranks);
      EXPECT_EQ(std::accumulate(gemm.m.begin(), gemm.m.end(), std::int64_t{0}), 4097 * 8);
      const auto [least, most] = std::minmax_element(gemm.m.begin(), gemm.m.end());
      EXPECT_LE(*most - *least, 1);
    }
  }
}

// Ranks that do not divide the experts hold one more or less, and redundant ones are held like others; rows are the tokens' all the same.
TEST(Experts, AnyNumberPerRank) {
  BlockSetting setting = deepseek_v3(48);
  EXPECT_EQ(experts_per_rank(setting.model, setting.plan), 6);
  setting.plan.expert_parallel = 64;
  setting.plan.expert_placement = ExpertPlacement::load_balanced;
  setting.plan.redundant_experts = 64;
  EXPECT_EQ(experts_per_rank(setting.model, setting.plan), 5);
  const RoutedShare share(setting.context());
  EXPECT_EQ(share.groups().size(), 5u);
  EXPECT_EQ(share.rows, static_cast<std::int64_t>(setting.tokens()) * 8);
}

// What a capacity leaves, or fills up, is what experts compute; what it is not is the gate's work.
TEST(Experts, ACapacityChangesTheRows) {
  BlockSetting setting = deepseek_v3(64);
  const double all = work<GroupedGemm>(routed_feed_forward(setting.context()).forward),
               gate_work = work<Gemm>(gate(setting.context()).forward);
  for (const double served : {0.75, 1.25}) {
    setting.routing.served = served;
    EXPECT_NEAR(work<GroupedGemm>(routed_feed_forward(setting.context()).forward) / all, served, 1e-6);
    EXPECT_EQ(work<Gemm>(gate(setting.context()).forward), gate_work);
  }
}

// A replica lives on its original's node where the placement keeps the gate's groups on nodes.
TEST(Experts, ReplicasAndTheirOriginals) {
  BlockSetting setting = deepseek_v3(64);
  EXPECT_EQ(replica_pair(setting.model, setting.plan, {64, 1, 8}).size, 1);
  setting.plan.redundant_experts = 64;
  EXPECT_EQ(replica_pair(setting.model, setting.plan, {64, 1, 8}).size, 2);
  EXPECT_EQ(replica_pair(setting.model, setting.plan, {64, 1, 8}).ranks_per_node, 2);
  EXPECT_EQ(replica_pair(setting.model, setting.plan, {48, 1, 8}).ranks_per_node, 1) << "8 groups on 6 nodes";
  EXPECT_EQ(replica_pair(setting.model, setting.plan, {48, 1, 64}).ranks_per_node, 2) << "one scale-up domain";
}

TEST(Experts, EachPassDoesTheWorkOfTheActivatedExperts) {
  for (const char* name : {"deepseek-v3", "mixtral-8x7b"}) {
    for (const std::int64_t ranks : {1, 8}) {
      BlockSetting setting(shipped_model(name));
      setting.plan.expert_parallel = ranks;
      const LayerParameters layer = layer_parameters(setting.model, true);
      const double activated = static_cast<double>(layer.shared_experts + setting.model.moe->num_experts_per_tok * layer.one_routed_expert);
      const Passes p = routed_feed_forward(setting.context());
      for (const Operations* ops : {&p.forward, &p.backward, &p.weight}) {
        EXPECT_DOUBLE_EQ(work<Gemm>(*ops) + work<GroupedGemm>(*ops), 2 * setting.tokens() * activated) << name;
      }
    }
  }
}

TEST(Experts, ExpertTensorParallelismTradesWidthForRows) {
  BlockSetting setting = deepseek_v3(8);
  const Passes whole = routed_feed_forward(setting.context());
  setting.plan.expert_tensor_parallel = 4;
  const Passes split = routed_feed_forward(setting.context());
  EXPECT_DOUBLE_EQ(work<GroupedGemm>(split.forward), work<GroupedGemm>(whole.forward));
  EXPECT_EQ(of_type<GroupedGemm>(split.forward).front().n * 4, of_type<GroupedGemm>(whole.forward).front().n);
}

TEST(Experts, RanksThatSplitChannelsGatherTokensAndSumOutputs) {
  BlockSetting setting(moe_model(1));
  setting.plan.expert_parallel = 8;
  EXPECT_EQ(count(routed_feed_forward(setting.context()).forward, Category::tensor_parallel), 0u);
  setting.plan.expert_tensor_parallel = 4;
  const Passes p = routed_feed_forward(setting.context());
  const Collective there = std::get<Collective>(named(p.forward, "experts gather tokens").what);
  EXPECT_EQ(there.kind, CollectiveKind::all_gather);
  EXPECT_EQ(there.bytes, Bytes{4 * 8 * 4096.0 * 2 * 4096});  // four ranks' tokens, eight experts each
  EXPECT_EQ(std::get<Collective>(named(p.forward, "experts sum outputs").what).kind, CollectiveKind::reduce_scatter);
  EXPECT_TRUE(has(p.backward, "experts gather gradients"));
  EXPECT_TRUE(has(p.backward, "experts sum gradients"));
  // The busiest expert rank's neighbours have as much to gather.
  LayerRouting busy;
  busy.rank_load_max_over_mean = 1.5;
  EXPECT_EQ(std::get<Collective>(at_load(named(p.forward, "experts gather tokens"), busy).what).bytes, there.bytes * 1.5);
}

TEST(Experts, ASharedExpertIsTensorParallelLikeADenseNetwork) {
  BlockSetting setting(moe_model(1));
  setting.plan.tensor_parallel = 4;
  const Passes plain = routed_feed_forward(setting.context());
  EXPECT_EQ(count(plain.forward, Category::tensor_parallel), 1u);
  EXPECT_EQ(count(plain.backward, Category::tensor_parallel), 1u);
  setting.plan.sequence_parallel = true;
  const Passes split = routed_feed_forward(setting.context());
  EXPECT_TRUE(has(split.forward, "shared expert all-gather"));
  EXPECT_TRUE(has(split.forward, "shared expert reduce-scatter"));
  EXPECT_EQ(count(split.backward, Category::tensor_parallel), 3u);
  for (const Operations* ops : {&split.forward, &split.backward}) {
    for (const Operation& op : *ops) EXPECT_EQ(op.order, Order::chain) << op.label;
  }
}

TEST(Experts, LoadScalesTheRoutedKernelsOnly) {
  const Block block = deepseek_v3(64).block(BlockKind::moe_layer);
  LayerRouting busy;
  busy.rank_load_max_over_mean = 2;
  busy.scale_out_max_over_mean = 3;
  for (const Operations* ops : {&block.before_exchange, &block.experts, &block.experts_backward, &block.before_exchange_backward,
                                &block.experts_weight, &block.before_exchange_weight}) {
    Operations loaded;
    for (const Operation& op : *ops) {
      const bool shared = op.label.find("shared") != std::string::npos, grouped = std::holds_alternative<GroupedGemm>(op.what);
      EXPECT_FALSE((shared || std::holds_alternative<Gemm>(op.what)) && op.scale != LoadScale::none) << op.label;
      EXPECT_FALSE(grouped && op.scale != LoadScale::rank_load) << op.label;
      loaded.push_back(at_load(op, busy));
      EXPECT_EQ(loaded.back().what == op.what, op.scale == LoadScale::none) << op.label;
    }
    EXPECT_DOUBLE_EQ(work<GroupedGemm>(loaded), 2 * work<GroupedGemm>(*ops));
    EXPECT_DOUBLE_EQ(work<Gemm>(loaded), work<Gemm>(*ops));
  }
  for (const Operation& op : block.before_exchange) EXPECT_EQ(op.scale, LoadScale::none) << op.label;
  EXPECT_EQ(std::get<Collective>(at_load(*block.exchanges.dispatch, busy).what).bytes,
            3 * std::get<Collective>(block.exchanges.dispatch->what).bytes);
}

double kept_by_copies(const BlockSetting& setting) {
  double sum = 0;
  for (const SavedTensor& t : routed_feed_forward(setting.context()).saved) {
    if (t.scale == LoadScale::rank_load) sum += t.bytes.value();
  }
  return sum / (setting.tokens() * 8);
}

TEST(Experts, ATokenCopyKeepsWhatTheFormulaSays) {
  BlockSetting setting = deepseek_v3(64);
  EXPECT_DOUBLE_EQ(kept_by_copies(setting), 7168 + 224 + 4096 + 128);
  setting.plan.precision = Precision::bf16;
  setting.plan.recompute = {};
  EXPECT_DOUBLE_EQ(kept_by_copies(setting), 14336 + 8192 + 4096);
}

TEST(Experts, TheGateIsNotQuantised) {
  const BlockSetting setting = deepseek_v3(64);
  const Passes p = gate(setting.context());
  EXPECT_EQ(of_type<Gemm>(p.forward).front(), (Gemm{DType::bf16, 4096, 256, 7168, GemmLayout::forward, false}));
  // Small enough to run both its gradients in the backward pass.
  EXPECT_EQ(of_type<Gemm>(p.backward).size(), 2u);
  EXPECT_TRUE(p.weight.empty());
  EXPECT_TRUE(has(p.forward, "quantise for dispatch"));
  EXPECT_TRUE(keeps(p.saved, "gate scores"));
}

TEST(Experts, AModelWithoutSharedExpertsRunsNone) {
  const BlockSetting setting(shipped_model("mixtral-8x7b"));
  const Passes p = routed_feed_forward(setting.context());
  for (const Operations* ops : {&p.forward, &p.backward, &p.weight}) EXPECT_TRUE(of_type<Gemm>(*ops).empty());
  EXPECT_FALSE(keeps(p.saved, "shared expert activation input"));
}

TEST(Experts, RecomputingTheNormRunsItBeforeItsReaders) {
  BlockSetting setting = deepseek_v3(64);
  const std::vector<std::string> backward = labels(routed_feed_forward(setting.context()).backward);
  const auto norm = std::find(backward.begin(), backward.end(), "ffn norm again");
  ASSERT_NE(norm, backward.end());
  EXPECT_EQ(*std::next(norm), "quantise normed tokens again");
  EXPECT_LT(norm, std::find(backward.begin(), backward.end(), "shared expert restore input"));
  setting.plan.recompute = {};
  EXPECT_FALSE(has(routed_feed_forward(setting.context()).backward, "ffn norm again"));
}

}  // namespace
}  // namespace trillion::experts_test
