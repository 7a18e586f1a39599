// A block whose operations are task kinds. The algebra:
//   order     each part has the block's operations, one kind each, on the operation's lane
//   once      asked again, nothing is made anew
//   samples   kernels differ by routing sample where experts live apart, and nowhere else; exchanges use their rank's links
#include "sim/workload/resolved_block.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/block_setting.h"

namespace trillion::resolved_block_test {
namespace {

using namespace testing_support;

class Resolver : public testing::Test {
 protected:
  Resolver()
      : calibration_(linear_calibration()), cluster_(linear_cluster(4)), timing_(calibration_, cluster_), kinds_(graph_, timing_, {}, {}) {
    for (const char* rank : {"0", "1"}) {
      links_.push_back({graph_.add_link(std::string(rank) + " send", BytesPerSecond{50e9}),
                        graph_.add_link(std::string(rank) + " receive", BytesPerSecond{50e9}),
                        graph_.add_link(std::string(rank) + " nvlink", BytesPerSecond{200e9})});
    }
    for (const double load : {1.2, 1.4, 1.6}) {
      LayerRouting sample;
      sample.rank_load_max_over_mean = sample.scale_out_max_over_mean = load;
      load_.samples.push_back(sample);
    }
    setting_.plan.expert_parallel = 16;
    setting_.routing.remote_nodes_per_token = 1.5;
    setting_.routing.local_ranks_per_token = 3;
  }

  // Lives as long as the test.
  BlockResolver& resolver(TimedBlocks* shared = nullptr) {
    BlockResolver& r = *resolvers_.emplace_back(
        std::make_unique<BlockResolver>(kinds_, load_, std::vector<GpuView>{{links_[0], {}}, {links_[1], {}}}, Detail::kernels, shared));
    for (const BlockKind kind : {BlockKind::dense_layer, BlockKind::moe_layer}) {
      if (!r.has(kind)) r.add(kind, setting_.block(kind));
    }
    return r;
  }

  void expect_same(const ResolvedOperations& resolved, const Operations& ops) const {
    ASSERT_EQ(resolved.size(), ops.size());
    for (std::size_t i = 0; i < ops.size(); ++i) {
      EXPECT_EQ(graph_.kind(resolved[i].kind).label, ops[i].label);
      EXPECT_EQ(resolved[i].lane, ops[i].lane);
    }
  }

  BlockSetting setting_{moe_model(4)};
  Calibration calibration_;
  Cluster cluster_;
  Timing timing_;
  TaskGraph graph_;
  KindTable kinds_;
  ExpertLoad load_;
  std::vector<RankLinks> links_;
  std::vector<std::unique_ptr<BlockResolver>> resolvers_;
};

TEST_F(Resolver, EveryPartKeepsTheBlocksOperationsInOrder) {
  setting_.plan.tensor_parallel = 2;
  BlockResolver& r = resolver();
  for (const BlockKind kind : {BlockKind::dense_layer, BlockKind::moe_layer}) {
    const Block b = setting_.block(kind);
    const ResolvedBlock& resolved = r.kernels(kind, 0, 0);
    expect_same(resolved.before_exchange, b.before_exchange);
    expect_same(resolved.experts, b.experts);
    expect_same(r.exchanges(kind, 0, 0, 0).recompute, b.recompute);
    expect_same(resolved.experts_backward, b.experts_backward);
    expect_same(resolved.before_exchange_backward, b.before_exchange_backward);
    expect_same(resolved.experts_weight, b.experts_weight);
    expect_same(resolved.before_exchange_weight, b.before_exchange_weight);
  }
}

TEST_F(Resolver, AskedAgainNothingIsMadeAnew) {
  BlockResolver& r = resolver();
  const ResolvedBlock* first = &r.kernels(BlockKind::moe_layer, 3, 7);
  const ResolvedExchanges* wires = &r.exchanges(BlockKind::moe_layer, 3, 7, 1);
  const std::size_t kinds = graph_.kind_count();
  EXPECT_EQ(&r.kernels(BlockKind::moe_layer, 3, 7), first);
  EXPECT_EQ(&r.exchanges(BlockKind::moe_layer, 3, 7, 1), wires);
  EXPECT_EQ(graph_.kind_count(), kinds);
}

TEST_F(Resolver, SharedBlocksAreTheSameKernelsInAnotherGraph) {
  TimedBlocks shared;
  const std::vector<ResolvedOperation> own = resolver().kernels(BlockKind::moe_layer, 1, 2).experts;
  const std::vector<ResolvedOperation> first = resolver(&shared).kernels(BlockKind::moe_layer, 1, 2).experts;
  const Block* made = &shared.block(BlockKind::moe_layer);
  const std::vector<ResolvedOperation> second = resolver(&shared).kernels(BlockKind::moe_layer, 1, 2).experts;
  EXPECT_EQ(&shared.block(BlockKind::moe_layer), made) << "made once";
  ASSERT_EQ(own.size(), second.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    EXPECT_EQ(own[i].kind, first[i].kind);
    EXPECT_EQ(own[i].kind, second[i].kind);
  }
}

TEST_F(Resolver, RoutedBlocksFollowTheirSample) {
  BlockResolver& r = resolver();
  std::map<const LayerRouting*, const ResolvedBlock*> of_sample;
  for (std::int64_t micro_batch = 0; micro_batch < 64; ++micro_batch) {
    const ResolvedBlock* block = &r.kernels(BlockKind::moe_layer, 2, micro_batch);
    const auto [entry, fresh] = of_sample.try_emplace(&load_.at(2, micro_batch), block);
    EXPECT_EQ(entry->second, block) << "one sample, one block";
  }
  EXPECT_EQ(of_sample.size(), load_.samples.size());
  std::set<std::uint32_t> routed_kinds;
  for (const auto& [sample, block] : of_sample) {
    for (const ResolvedOperation& op : block->experts) {
      if (graph_.kind(op.kind).label == "experts up") routed_kinds.insert(op.kind.value);
    }
  }
  EXPECT_EQ(routed_kinds.size(), load_.samples.size());
}

TEST_F(Resolver, DenseBlocksAndExpertsAtHomeKnowNoSamples) {
  BlockResolver& r = resolver();
  for (std::int64_t m = 1; m < 16; ++m) EXPECT_EQ(&r.kernels(BlockKind::dense_layer, 0, m), &r.kernels(BlockKind::dense_layer, 0, 0));
  setting_.plan.expert_parallel = 1;
  BlockResolver& home = resolver();
  for (std::int64_t m = 1; m < 16; ++m) EXPECT_EQ(&home.kernels(BlockKind::moe_layer, 0, m), &home.kernels(BlockKind::moe_layer, 0, 0));
  EXPECT_FALSE(home.exchanges(BlockKind::moe_layer, 0, 0, 0).dispatch);
}

TEST_F(Resolver, InCompanyEveryKernelIsItsOwnAndCollectivesAreOnTheirRanksLinks) {
  setting_.plan.tensor_parallel = 2;
  setting_.plan.tensor_parallel_overlap = TensorOverlap::none;
  BlockResolver r(kinds_, load_, {{links_[0], {}}, {links_[1], {}}}, Detail::runs);
  r.add(BlockKind::dense_layer, setting_.block(BlockKind::dense_layer));
  const Block b = setting_.block(BlockKind::dense_layer);
  EXPECT_LT(r.kernels(BlockKind::dense_layer, 0, 0, 1).before_exchange.size(), b.before_exchange.size());
  for (std::int32_t rank = 0; rank < 2; ++rank) {
    const ResolvedBlock& shared = r.kernels(BlockKind::dense_layer, 0, 0, rank, Company::shared);
    expect_same(shared.before_exchange, b.before_exchange);
    for (const ResolvedOperation& op : shared.before_exchange) {
      const TaskKind& kind = graph_.kind(op.kind);
      EXPECT_EQ(kind.side, op.lane == Lane::compute ? Side::kernel : Side::transfer) << kind.label;
      if (op.lane == Lane::compute) continue;
      ASSERT_EQ(kind.links.size(), 1u);
      EXPECT_EQ(kind.links[0].link, links_[static_cast<std::size_t>(rank)].nvlink);
    }
  }
}

// Bulk overlap: the backward lists hold collectives that run beside their kernels; the forward ones do not.
TEST_F(Resolver, APartWhoseOwnCommunicationRunsBesideItIsInCompany) {
  setting_.plan.tensor_parallel = 2;
  setting_.plan.sequence_parallel = true;
  setting_.plan.tensor_parallel_overlap = TensorOverlap::bulk;
  BlockResolver& r = resolver();
  const ResolvedBlock& block = r.kernels(BlockKind::dense_layer, 0, 0);
  const auto sides = [&](const ResolvedOperations& ops) {
    std::set<Side> out;
    for (const ResolvedOperation& op : ops) out.insert(graph_.kind(op.kind).side);
    return out;
  };
  EXPECT_EQ(sides(block.before_exchange), std::set{Side::none});
  EXPECT_EQ(sides(block.before_exchange_backward), (std::set{Side::kernel, Side::transfer}));
  EXPECT_EQ(sides(block.before_exchange_weight), std::set{Side::kernel});
}

TEST_F(Resolver, ExchangesUseTheLinksOfTheirRank) {
  BlockResolver& r = resolver();
  for (std::int32_t rank = 0; rank < 2; ++rank) {
    const ResolvedExchanges& e = r.exchanges(BlockKind::moe_layer, 0, 0, rank);
    for (const auto& kind : {e.dispatch, e.combine, e.combine_backward, e.dispatch_backward}) {
      ASSERT_TRUE(kind);
      const std::vector<LinkUse>& links = graph_.kind(*kind).links;
      ASSERT_EQ(links.size(), 3u);
      EXPECT_EQ(links[0].link, links_[static_cast<std::size_t>(rank)].nic_send);
      EXPECT_EQ(links[1].link, links_[static_cast<std::size_t>(rank)].nic_receive);
      EXPECT_EQ(links[2].link, links_[static_cast<std::size_t>(rank)].nvlink);
    }
  }
  EXPECT_NE(*r.exchanges(BlockKind::moe_layer, 0, 0, 0).dispatch, *r.exchanges(BlockKind::moe_layer, 0, 0, 1).dispatch);
}

TEST_F(Resolver, ExchangesThatRunAgainUseTheSameLinks) {
  setting_.plan.recompute = {RecomputeModule::moe};
  BlockResolver& r = resolver();
  const Block b = setting_.block(BlockKind::moe_layer);
  const ResolvedOperations& again = r.exchanges(BlockKind::moe_layer, 0, 0, 1).recompute;
  expect_same(again, b.recompute);
  for (const ResolvedOperation& op : again) {
    const bool on_wire = op.lane == Lane::expert;
    EXPECT_EQ(graph_.kind(op.kind).links.size(), on_wire ? 3u : 0u);
    if (!on_wire) continue;
    EXPECT_EQ(graph_.kind(op.kind).links[0].link, links_[1].nic_send);
  }
}

TEST_F(Resolver, WithoutSamplesTheLoadIsEven) {
  load_.samples.clear();
  BlockResolver& r = resolver();
  const ResolvedBlock& block = r.kernels(BlockKind::moe_layer, 0, 5);
  for (const ResolvedOperation& op : block.experts) EXPECT_EQ(graph_.kind(op.kind).duration, kinds_.evidence()[op.kind.value].balanced);
}

}  // namespace
}  // namespace trillion::resolved_block_test
