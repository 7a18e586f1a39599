// What expert_load() promises:
//   forced: ratios exactly 1; V3 on 8 nodes: about 4 nodes a token, 3.5 of them remote
//   expert-parallel size 1 moves nothing; within one node nothing leaves it
//   more domain skew is less even; the same seed gives the same bytes, another seed the same mean within the stated error
//   measured: the counts' own ratios
#include "sim/moe/expert_load.h"

#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "tests/moe/support/routed_models.h"

namespace trillion::expert_load_test {
namespace {

Training training(Balance balance, double domain_skew = 1.1) {
  Training result;
  result.sequence_length = 4096;
  result.routing.balance = balance;
  result.routing.domain_skew = domain_skew;
  return result;
}

Training measured(const std::vector<ExpertCount>& loads) {
  Training result = training(Balance::measured);
  result.routing.loads = loads;
  return result;
}

bool same(const LayerRouting& a, const LayerRouting& b) {
  return a.tokens_per_expert_max_over_mean == b.tokens_per_expert_max_over_mean && a.rank_load_max_over_mean == b.rank_load_max_over_mean &&
         a.scale_out_max_over_mean == b.scale_out_max_over_mean && a.remote_nodes_per_token == b.remote_nodes_per_token &&
         a.local_ranks_per_token == b.local_ranks_per_token && a.nodes_per_token == b.nodes_per_token;
}

TEST(ExpertLoad, ForcedIsExactlyEven) {
  const ExpertLoad load = expert_load(deepseek_v3(), {}, training(Balance::forced), kEp64, 1);
  ASSERT_EQ(load.samples.size(), 1u);
  EXPECT_EQ(load.mean.tokens_per_expert_max_over_mean, 1);
  EXPECT_EQ(load.mean.rank_load_max_over_mean, 1);
  EXPECT_EQ(load.mean.scale_out_max_over_mean, 1);
  EXPECT_NEAR(load.mean.nodes_per_token, 3.98, 0.02);
  EXPECT_NEAR(load.mean.remote_nodes_per_token, load.mean.nodes_per_token * 7 / 8, 1e-3);
  EXPECT_TRUE(same(load.at(3, 17), load.mean));
}

TEST(ExpertLoad, DeepSeekV3Default) {
  const ExpertLoad load = expert_load(deepseek_v3(), {}, training(Balance::loss_free), kEp64, 1);
  EXPECT_GE(load.samples.size(), 24u);
  EXPECT_NEAR(load.mean.tokens_per_expert_max_over_mean, 1.53, 0.06);
  EXPECT_NEAR(load.mean.rank_load_max_over_mean, 1.19, 0.03);
  EXPECT_NEAR(load.mean.scale_out_max_over_mean, 1.16, 0.03);
  EXPECT_NEAR(load.mean.remote_nodes_per_token, 3.48, 0.03);
}

TEST(ExpertLoad, KeptSamplesAreSpreadAsAllOfThem) {
  const ExpertLoad all = expert_load(deepseek_v3(), {}, training(Balance::loss_free), kEp64, 1, {2, 48, 0});
  const ExpertLoad kept = expert_load(deepseek_v3(), {}, training(Balance::loss_free), kEp64, 1, {2, 48, 24});
  ASSERT_EQ(all.samples.size(), 96u);
  ASSERT_EQ(kept.samples.size(), 24u);
  EXPECT_TRUE(same(kept.mean, all.mean));
  double mean = 0;
  for (const LayerRouting& s : kept.samples) mean += s.rank_load_max_over_mean / 24;
  EXPECT_NEAR(mean, all.mean.rank_load_max_over_mean, 0.003);  // 24 at random: 0.01
}

TEST(ExpertLoad, OneSeedOneAnswer) {
  const ExpertLoad a = expert_load(deepseek_v3(), {}, training(Balance::loss_free), kEp64, 7);
  const ExpertLoad b = expert_load(deepseek_v3(), {}, training(Balance::loss_free), kEp64, 7);
  const ExpertLoad c = expert_load(deepseek_v3(), {}, training(Balance::loss_free), kEp64, 8);
  ASSERT_EQ(a.samples.size(), b.samples.size());
  for (std::size_t i = 0; i < a.samples.size(); ++i) EXPECT_TRUE(same(a.samples[i], b.samples[i]));
  EXPECT_FALSE(same(a.mean, c.mean));
  EXPECT_NEAR(a.mean.rank_load_max_over_mean, c.mean.rank_load_max_over_mean, 0.03);
  EXPECT_EQ(&a.at(5, 9), &a.at(5, 9));
}

TEST(ExpertLoad, MoreDriftIsLessEven) {
  double last = 1;
  for (const double skew : {0.0, 0.5, 1.1}) {
    const double ratio = expert_load(deepseek_v3(), {}, training(Balance::loss_free, skew), kEp64, 1).mean.rank_load_max_over_mean;
    EXPECT_GT(ratio, last);
    last = ratio;
  }
}

TEST(ExpertLoad, OneRankMovesNothing) {
  for (const Balance balance : {Balance::forced, Balance::loss_free, Balance::none}) {
    const ExpertLoad load = expert_load(mixtral(), {}, training(balance), {1, 1, 4096}, 1);
    EXPECT_EQ(load.mean.remote_nodes_per_token, 0);
    EXPECT_EQ(load.mean.local_ranks_per_token, 0);
    EXPECT_NEAR(load.mean.rank_load_max_over_mean, 1, 1e-12);
    EXPECT_NEAR(load.mean.nodes_per_token, 1, 1e-12);
  }
}

TEST(ExpertLoad, WithinANodeNothingLeaves) {
  const ExpertLoad load = expert_load(mixtral(), {}, training(Balance::forced), {8, 8, 4096}, 1);
  EXPECT_EQ(load.mean.remote_nodes_per_token, 0);
  EXPECT_EQ(load.mean.scale_out_max_over_mean, 1);
  EXPECT_NEAR(load.mean.local_ranks_per_token, 2.0 * 7 / 8, 0.01);  // each of the two experts is someone else's 7 times in 8
}

TEST(ExpertLoad, OneRankPerNodeHasNoFanOut) {
  const ExpertLoad load = expert_load(mixtral(), {}, training(Balance::forced), {8, 1, 4096}, 1);
  EXPECT_NEAR(load.mean.remote_nodes_per_token, 2.0 * 7 / 8, 0.01);
  EXPECT_EQ(load.mean.local_ranks_per_token, 0);
}

TEST(ExpertLoad, SequencesSharedByRanksAndManyPerRank) {
  // A quarter of a sequence per rank (context parallelism) is less even than four sequences per rank.
  const double shared = expert_load(deepseek_v3(), {}, training(Balance::loss_free), {64, 8, 1024}, 1).mean.rank_load_max_over_mean;
  const double many = expert_load(deepseek_v3(), {}, training(Balance::loss_free), {64, 8, 16384}, 1).mean.rank_load_max_over_mean;
  EXPECT_GT(shared, 1.3);
  EXPECT_LT(many, 1.14);
}

TEST(ExpertLoad, MeasuredCountsSpeakForThemselves) {
  std::vector<ExpertCount> loads;
  for (std::int64_t e = 0; e < 256; ++e) loads.push_back({3, e, e < 4 ? 200.0 : 100.0});
  const ExpertLoad load = expert_load_measured(deepseek_v3(), {}, measured(loads), kEp64, 1);
  ASSERT_EQ(load.samples.size(), 1u);
  const double mean = (4 * 200.0 + 252 * 100.0) / 256;
  EXPECT_DOUBLE_EQ(load.mean.tokens_per_expert_max_over_mean, 200 / mean);
  EXPECT_DOUBLE_EQ(load.mean.rank_load_max_over_mean, 200 / mean);  // the four hot experts share rank 0
  EXPECT_NEAR(load.mean.remote_nodes_per_token, 3.48, 0.05);
  EXPECT_GT(load.mean.scale_out_max_over_mean, 1.0);
  EXPECT_EQ(load.balance, Balance::measured);
}

TEST(ExpertLoad, PlacementsDoWhatTheyAreFor) {
  std::vector<ExpertCount> loads;
  for (std::int64_t e = 0; e < 256; ++e) loads.push_back({0, e, 100.0 + static_cast<double>((e * 37) % 101) * (e % 32 < 4 ? 3.0 : 1.0)});
  const auto placed = [&](ExpertPlacement placement) {
    Plan plan;
    plan.expert_placement = placement;
    return expert_load_measured(deepseek_v3(), plan, measured(loads), kEp64, 1).mean;
  };
  const LayerRouting contiguous = placed(ExpertPlacement::contiguous), balanced = placed(ExpertPlacement::load_balanced);
  EXPECT_LT(balanced.rank_load_max_over_mean, 1.2) << "whole experts, four to a rank";
  EXPECT_GT(contiguous.rank_load_max_over_mean, 1.3);
  EXPECT_NEAR(balanced.nodes_per_token, contiguous.nodes_per_token, 0.01) << "groups stay whole on nodes";
  EXPECT_GT(placed(ExpertPlacement::round_robin).nodes_per_token, contiguous.nodes_per_token + 0.5) << "groups are torn apart";
  EXPECT_LE(placed(ExpertPlacement::traffic_minimising).nodes_per_token, contiguous.nodes_per_token + 0.01);
}

TEST(ExpertLoad, MeasuredMistakesAreTheUsers) {
  const Model model = mixtral();
  const ExpertGroup group{8, 8, 4096};
  EXPECT_THROW(expert_load_measured(model, {}, measured({}), group, 1), InputError);
  EXPECT_THROW(expert_load_measured(model, {}, measured({{0, 8, 1}}), group, 1), InputError);
  EXPECT_THROW(expert_load_measured(model, {}, measured({{0, 1, -1}}), group, 1), InputError);
  EXPECT_THROW(expert_load_measured(model, {}, measured({{0, 1, 0}}), group, 1), InputError);
  EXPECT_THROW(expert_load(model, {}, training(Balance::measured), group, 1), InputError);
}

}  // namespace
}  // namespace trillion::expert_load_test
