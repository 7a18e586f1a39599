// One action by itself, kernel by kernel. The algebra, on the linear machine:
//   dense     a forward pass is its kernels one after the other, and communicates nothing; so is a backward pass
//   experts   a forward pass ends with the combine, after its kernels
//   pair      takes at least the longer and at most both of its passes
//   beside    a chunk that reduces its gradients takes no less, nor one that gathers its parameters, which begins when the first are there
//   alone     what other actions are asked of changes no profile
#include "sim/workload/chunk_profile.h"

#include <gtest/gtest.h>

#include "sim/workload/block_times.h"
#include "tests/support/linear_machine.h"

namespace trillion::chunk_profile_test {
namespace {

using namespace testing_support;

const Action kForward{{ActionKind::forward, 0, 0}, std::nullopt};
const Action kBackward{{ActionKind::backward, 0, 0}, std::nullopt};
const Action kWeight{{ActionKind::weight_gradient, 0, 0}, std::nullopt};
const Action kPair{{ActionKind::forward, 0, 0}, Pass{ActionKind::backward, 0, 0}};

struct Setting {
  explicit Setting(const Model& model, std::int64_t expert_parallel = 1)
      : scenario(linear_scenario(model, plan(expert_parallel), 2, 16)),
        mesh(scenario.plan, scenario.cluster),
        timing(scenario.calibration, scenario.cluster) {
    const BlockKind kind = model.moe ? BlockKind::moe_layer : BlockKind::dense_layer;
    cut = {{Stage(2, kind)}, {0}};
  }
  static Plan plan(std::int64_t expert_parallel) {
    Plan p;
    p.expert_parallel = expert_parallel;
    return p;
  }
  std::vector<ChunkProfile> profiles(const std::vector<Action>& actions, const std::vector<BesideAction>& beside = {}) const {
    const PipelineSchedule none;
    LoweringInput in{scenario, mesh, none, cut, load, timing};
    in.beside = beside;
    return chunk_profiles(in, actions);
  }
  Scenario scenario;
  DeviceMesh mesh;
  Timing timing;
  StageCut cut;
  ExpertLoad load;
};

TEST(ChunkProfile, DenseChunksAreTheirKernels) {
  const Setting s(dense_model(8));
  const LayerRouting none;
  const BlockTimes block = block_times(make_block(BlockKind::dense_layer, block_context(s.scenario, s.mesh, none)), s.timing,
                                       kernel_conditions(s.scenario, s.timing));
  const std::vector<ChunkProfile> p = s.profiles({kForward, kBackward, kWeight});
  const double rounding = 1e-9;
  EXPECT_NEAR(p[0].compute.end, 2 * block.forward.value(), rounding);
  EXPECT_NEAR(p[0].forward.end, p[0].compute.end, rounding);
  EXPECT_FALSE(p[0].communication.any());
  EXPECT_FALSE(p[0].backward.any());
  EXPECT_NEAR(p[1].compute.end, 2 * (block.input_gradient + block.weight_gradient).value(), rounding);
  EXPECT_LT(p[1].backward.end, p[1].compute.end) << "the first block's weight gradients come after the result";
  EXPECT_NEAR(p[2].compute.end, 2 * block.weight_gradient.value(), rounding);
  EXPECT_FALSE(p[2].backward.any());
}

// Every token visits four ranks of its expert-parallel group.
void visit_four_ranks(Setting& s) {
  LayerRouting routing;
  routing.local_ranks_per_token = 4;
  s.load.samples = {routing};
  s.load.mean = routing;
}

TEST(ChunkProfile, ReductionsAndGathersAreBesideTheKernels) {
  Setting s(moe_model(8), 8);
  visit_four_ranks(s);
  s.scenario.plan.overlap_parameter_gather = true;
  s.scenario.plan.bucket_parameters = 1;  // a block each
  const std::vector<ChunkProfile> p =
      s.profiles({kForward, kForward, kBackward, kBackward}, {{false, false}, {true, false}, {false, false}, {false, true}});
  EXPECT_FALSE(p[0].reduction.any());
  EXPECT_FALSE(p[2].reduction.any());
  EXPECT_DOUBLE_EQ(p[1].compute.first, 0);
  EXPECT_GE(p[1].forward.end, p[0].forward.end - 1e-9);
  EXPECT_GE(p[3].compute.end, p[2].compute.end - 1e-9);
  ASSERT_TRUE(p[3].reduction.any());
  EXPECT_GE(p[3].reduction.end, p[3].compute.end) << "the first block's gradients come last";
}

TEST(ChunkProfile, AloneThereIsNothingToReduceOrToGather) {
  Setting s(dense_model(8));
  s.scenario.cluster = linear_cluster(1, 1);
  s.scenario.plan.overlap_parameter_gather = true;
  s.mesh = DeviceMesh(s.scenario.plan, s.scenario.cluster);
  const std::vector<ChunkProfile> p = s.profiles({kForward, kBackward}, {{true, false}, {false, true}});
  const std::vector<ChunkProfile> plain = s.profiles({kForward, kBackward});
  EXPECT_FALSE(p[1].reduction.any());
  EXPECT_EQ(p[0].forward.end, plain[0].forward.end);
  EXPECT_EQ(p[1].compute.end, plain[1].compute.end);
}

TEST(ChunkProfile, ExpertsEndWithTheCombine) {
  Setting s(moe_model(8), 8);
  visit_four_ranks(s);
  const std::vector<ChunkProfile> p = s.profiles({kForward, kBackward, kPair});
  ASSERT_TRUE(p[0].communication.any());
  EXPECT_GT(p[0].forward.end, p[0].compute.end);
  EXPECT_DOUBLE_EQ(p[0].forward.end, p[0].communication.end);
  const double forward = p[0].forward.end, backward = p[1].compute.end;
  EXPECT_GE(p[2].compute.end, std::max(p[0].compute.end, backward) - 1e-9);
  EXPECT_LE(p[2].compute.end, forward + backward + 1e-9);
  const ChunkProfile alone = s.profiles({kForward}).front();
  EXPECT_EQ(alone.compute.end, p[0].compute.end);
  EXPECT_EQ(alone.forward.end, p[0].forward.end);
}

}  // namespace
}  // namespace trillion::chunk_profile_test
