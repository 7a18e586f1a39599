#include "sim/spec/plan.h"

#include <functional>

#include "tests/spec/mistakes.h"

namespace trillion::plan_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<std::string> broken(const std::function<void(Plan&)>& change) {
  Plan p;
  change(p);
  return p.validate();
}

TEST(Plan, TheDefaultsAreAPlan) { EXPECT_THAT(Plan().validate(), IsEmpty()); }

TEST(Plan, EverySizeIsAtLeastOne) {
  EXPECT_THAT(broken([](Plan& p) { p.tensor_parallel = 0; }), ElementsAre("tensor_parallel: must be at least 1, found 0"));
  EXPECT_THAT(broken([](Plan& p) { p.context_parallel = -2; }), ElementsAre(StartsWith("context_parallel: ")));
  EXPECT_THAT(broken([](Plan& p) { p.pipeline_parallel = 0; }), ElementsAre(StartsWith("pipeline_parallel: ")));
  EXPECT_THAT(broken([](Plan& p) { p.expert_parallel = 0; }), ElementsAre(StartsWith("expert_parallel: ")));
  EXPECT_THAT(broken([](Plan& p) { p.redundant_experts = 8; }), ElementsAre(StartsWith("redundant_experts: needs expert_placement")));
  EXPECT_THAT(broken([](Plan& p) { p.expert_tensor_parallel = 0; }), ElementsAre(StartsWith("expert_tensor_parallel: ")));
  EXPECT_THAT(broken([](Plan& p) { p.data_parallel = 0; }), ElementsAre(StartsWith("data_parallel: ")));
  EXPECT_THAT(broken([](Plan& p) { p.micro_batch_size = 0; }), ElementsAre(StartsWith("micro_batch_size: ")));
  EXPECT_THAT(broken([](Plan& p) { p.tensor_parallel = std::int64_t{1} << 40; }),
              ElementsAre(StartsWith("tensor_parallel: must be at most")));
}

TEST(Plan, PiecesOfCollectivesNeedSequenceParallelism) {
  const auto pipelined = [](bool sequence, std::int64_t ranks) {
    return broken([&](Plan& p) {
      p.tensor_parallel = ranks;
      p.sequence_parallel = sequence;
      p.tensor_parallel_overlap = TensorOverlap::pipelined;
    });
  };
  EXPECT_THAT(pipelined(false, 8), ElementsAre(StartsWith("tensor_parallel_overlap: pipelined needs sequence_parallel")));
  EXPECT_THAT(pipelined(true, 8), IsEmpty());
  EXPECT_THAT(pipelined(false, 1), IsEmpty());
}

TEST(Plan, ARankOrderNamesEveryAxisOnce) {
  EXPECT_EQ(rank_order_of_text("tp-cp-ep-dp-pp"), kMegatronOrder);
  for (const char* order : {"tp-cp-ep-dp-pp", "dp-tp-pp-ep-cp", "pp-dp-ep-cp-tp"}) EXPECT_EQ(to_text(*rank_order_of_text(order)), order);
  for (const char* wrong :
       {"", "tp", "tp-cp-ep-dp", "tp-cp-ep-dp-dp", "tp-cp-ep-dp-pp-tp", "tp-cp-ep-dp-pp-", "tp cp ep dp pp", "-tp-cp-ep-dp-pp"}) {
    EXPECT_FALSE(rank_order_of_text(wrong)) << wrong;
  }
}

TEST(Plan, OverlapsMustHaveSomethingToOverlap) {
  EXPECT_THAT(broken([](Plan& p) {
                p.sharding = Sharding::none;
                p.overlap_parameter_gather = true;
              }),
              ElementsAre(StartsWith("overlap_parameter_gather: nothing is gathered")));
  EXPECT_THAT(broken([](Plan& p) {
                p.sharding = Sharding::zero_3;
                p.overlap_gradient_reduce = false;
              }),
              ElementsAre(StartsWith("overlap_gradient_reduce: zero-2 and zero-3 cannot wait")));
  EXPECT_THAT(broken([](Plan& p) {
                p.sharding = Sharding::none;
                p.sharding_group = 8;
              }),
              ElementsAre(StartsWith("sharding_group: there is nothing to share")));
  EXPECT_THAT(broken([](Plan& p) { p.bucket_parameters = 0; }), ElementsAre("bucket_parameters: must be at least 1"));
}

TEST(Plan, OffloadsEachThingOnce) {
  EXPECT_THAT(broken([](Plan& p) { p.offload = {Offload::optimizer, Offload::optimizer}; }), ElementsAre(StartsWith("offload: ")));
  EXPECT_THAT(broken([](Plan& p) { p.offload = {Offload::optimizer, Offload::activations}; }), IsEmpty());
}

TEST(Plan, StagesFollowTheSchedule) {
  EXPECT_THAT(broken([](Plan& p) { p.virtual_pipeline_stages = 2; }),
              ElementsAre(StartsWith("virtual_pipeline_stages: only schedule: interleaved-1f1b")));
  const auto with_stages = [](ScheduleKind kind, std::size_t stages, std::int64_t chunks = 1) {
    return broken([&](Plan& p) {
      p.pipeline_parallel = 4;
      p.schedule = kind;
      p.virtual_pipeline_stages = chunks;
      p.layers_per_stage = std::vector<std::int64_t>(stages, 1);
    });
  };
  EXPECT_THAT(with_stages(ScheduleKind::one_f_one_b, 4), IsEmpty());
  EXPECT_THAT(with_stages(ScheduleKind::dualpipe, 4), IsEmpty());
  EXPECT_THAT(with_stages(ScheduleKind::zb_v, 8), IsEmpty());
  EXPECT_THAT(with_stages(ScheduleKind::dualpipe_v, 8), IsEmpty());
  EXPECT_THAT(with_stages(ScheduleKind::interleaved_1f1b, 12, 3), IsEmpty());
  EXPECT_THAT(with_stages(ScheduleKind::one_f_one_b, 5), ElementsAre(StartsWith("layers_per_stage: must have one entry per stage, 4")));
  EXPECT_THAT(with_stages(ScheduleKind::zb_v, 4), ElementsAre(StartsWith("layers_per_stage: must have one entry per stage, 8")));
}

TEST(Plan, RecomputedModulesAreListedOnce) {
  EXPECT_THAT(broken([](Plan& p) {
                p.recompute = {RecomputeModule::norm, RecomputeModule::norm};
              }),
              ElementsAre("recompute: 'norm' is listed twice"));
  using enum RecomputeModule;
  EXPECT_THAT(broken([](Plan& p) {
                p.recompute = {moe, shared_experts};
              }),
              ElementsAre("recompute: 'shared_experts' is part of 'moe', which is listed too"));
  EXPECT_THAT(broken([](Plan& p) {
                p.recompute = {layer, norm};
              }),
              ElementsAre("recompute: 'norm' is part of 'layer', which is listed too"));
  EXPECT_THAT(broken([](Plan& p) { p.recomputed_layers.count = 2; }),
              ElementsAre(StartsWith("recompute_num_layers: only recompute: full")));
  EXPECT_THAT(broken([](Plan& p) {
                p.recompute = {layer};
                p.recomputed_layers = {RecomputeMethod::block, 2};
              }),
              IsEmpty());
  Plan p;
  p.recompute = {RecomputeModule::norm};
  EXPECT_TRUE(p.recomputes(RecomputeModule::norm));
  EXPECT_FALSE(p.recomputes(RecomputeModule::layer));
}

}  // namespace
}  // namespace trillion::plan_test
