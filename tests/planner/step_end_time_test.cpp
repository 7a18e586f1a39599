// The end of a step without simulating it. The algebra:
//   alone      one GPU has nobody to reduce with: the update follows the last chunk
//   late       gradients reduced after the last backward pass cost at least as much as beside it
//   ahead      gathering ahead takes the gather from the end, and puts it before the first forward pass
#include "sim/planner/step_end_time.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/estimate/prepare.h"
#include "tests/support/linear_machine.h"

namespace trillion::step_end_time_test {
namespace {

using namespace testing_support;

struct Setting {
  explicit Setting(std::int64_t nodes, std::int64_t gpus_per_node = 8) : scenario(linear_scenario(dense_model(8), {}, nodes, 64)) {
    scenario.cluster = linear_cluster(nodes, gpus_per_node);
  }
  // Chunks of a second each, four micro-batches.
  double end() const {
    const DeviceMesh mesh(scenario.plan, scenario.cluster);
    const Timing timing(scenario.calibration, scenario.cluster);
    const StageCut cut{{Stage(8, BlockKind::dense_layer)}, {0}};
    const ChunkProgram program(make_schedule(ScheduleKind::gpipe, 1, 4, 1));
    const LayerRouting none;
    BlockMemory blocks(scenario, mesh, none);
    const StepEndInput in{scenario, mesh, cut, program, blocks, timing, kernel_conditions(scenario, timing)};
    ChunkProfile forward, backward;
    forward.compute = forward.forward = {0, 1};
    backward.compute = backward.backward = {0, 1};
    std::vector<const ChunkProfile*> profiles;
    for (const Action& a : program.distinct()) profiles.push_back(a.first.kind == ActionKind::forward ? &forward : &backward);
    return step_end_time(in, program.run(profiles, 0, first_gathered(in)));
  }
  Scenario scenario;
};

TEST(StepEndTime, AloneTheUpdateFollowsTheLastChunk) {
  const Setting one(1, 1);
  EXPECT_GT(one.end(), 8);
  EXPECT_LT(one.end(), 8.5);
}

TEST(StepEndTime, ReducingLateCostsAtLeastAsMuch) {
  Setting s(4);
  const double beside = s.end();
  s.scenario.plan.overlap_gradient_reduce = false;
  EXPECT_GT(s.end(), beside);
}

TEST(StepEndTime, GatheringAheadHidesAllButTheFirstBucket) {
  Setting s(4);
  s.scenario.plan.bucket_parameters = 1;  // a block each
  const double at_the_end = s.end();
  s.scenario.plan.overlap_parameter_gather = true;
  EXPECT_LT(s.end(), at_the_end);
  s.scenario.plan.bucket_parameters = 1e12;  // nothing begins before everything is there
  const double ahead = s.end();
  s.scenario.plan.overlap_parameter_gather = false;
  EXPECT_NEAR(s.end(), ahead, 1e-9 * ahead);
}

}  // namespace
}  // namespace trillion::step_end_time_test
